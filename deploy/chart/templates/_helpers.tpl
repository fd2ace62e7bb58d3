{{- define "carrel.name" -}}
{{ .Values.fullnameOverride | default .Values.nameOverride | default .Release.Name }}
{{- end }}

{{- define "carrel.selectorLabels" -}}
app.kubernetes.io/name: carrel
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "carrel.labels" -}}
{{ include "carrel.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "carrel.hubLabels" -}}
{{ include "carrel.selectorLabels" . }}
app.kubernetes.io/component: hub
{{- end }}

{{- define "carrel.proxyLabels" -}}
{{ include "carrel.selectorLabels" . }}
app.kubernetes.io/component: proxy
{{- end }}

{{/* Of the pods that people come to: those of the proxy where it is apart, else the Hub's. */}}
{{- define "carrel.frontLabels" -}}
{{- if .Values.proxy.apart.enabled -}}
  {{- if include "carrel.certificate" . -}}
    {{- fail "proxy.apart.enabled: proxies apart speak plain HTTP in the cluster; give the certificate to an Ingress (ingress.tls), a Gateway (httpRoute) or the gateway (gateway.tlsSecret) in place of proxy.https" -}}
  {{- end -}}
  {{- include "carrel.proxyLabels" . -}}
{{- else -}}
  {{- include "carrel.hubLabels" . -}}
{{- end -}}
{{- end }}

{{/* Where servers and proxies reach the Hubs. */}}
{{- define "carrel.hubUrl" -}}
http://{{ include "carrel.name" . }}-{{ empty .Values.proxy.apart.enabled | ternary "lb" "hub" }}.{{ .Release.Namespace }}.svc
{{- end }}

{{/* A secret that is made once and kept in the Secret NAME-secrets. Takes [root, key, what is given]. */}}
{{- define "carrel.kept" -}}
{{- $root := index . 0 -}}
{{- $kept := lookup "v1" "Secret" $root.Release.Namespace (printf "%s-secrets" (include "carrel.name" $root)) | default dict -}}
{{- $old := get ($kept.data | default dict) (index . 1) | default "" | b64dec -}}
{{- index . 2 | default $old | default (randAlphaNum 32) -}}
{{- end }}

{{/* Whether the Hub needs a key to encrypt with that nobody gives it. */}}
{{- define "carrel.cryptKey" -}}
{{- $wanted := false -}}
{{- range $name, $keys := .Values.hub.config -}}
  {{- if and (hasSuffix "uthenticator" $name) (kindIs "map" $keys) -}}
    {{- if get $keys "enable_auth_state" -}}{{- $wanted = true -}}{{- end -}}
  {{- end -}}
{{- end -}}
{{- $given := dig "CryptKeeper" "keys" list (deepCopy .Values.hub.config) -}}
{{- range include "carrel.env" .Values.hub.extraEnv | fromJsonArray -}}
  {{- if eq .name "JUPYTERHUB_CRYPT_KEY" -}}{{- $given = list "there" -}}{{- end -}}
{{- end -}}
{{- if and $wanted (not $given) -}}yes{{- end -}}
{{- end }}

{{/* Of the pods that KubeSpawner makes. */}}
{{- define "carrel.serverLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: singleuser-server
hub.jupyter.org/network-access-hub: "true"
{{- end }}

{{/* Takes [values of an image, root]. */}}
{{- define "carrel.image" -}}
{{- $image := index . 0 -}}
{{- $root := index . 1 -}}
{{- if kindIs "map" $image -}}
{{ required "an image needs a name" $image.name }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Names of the secrets of imagePullSecrets, of imagePullSecret and of the image's own, as a JSON list. Takes [root, image]. */}}
{{- define "carrel.pullSecretNames" -}}
{{- $root := index . 0 -}}
{{- $names := list -}}
{{- range concat (include "carrel.list" $root.Values.imagePullSecrets | fromJsonArray) (include "carrel.list" (index . 1).pullSecrets | fromJsonArray) -}}
  {{- if kindIs "map" . -}}{{- $names = append $names .name -}}{{- else -}}{{- $names = append $names . -}}{{- end -}}
{{- end -}}
{{- if $root.Values.imagePullSecret.create -}}
  {{- $names = append $names (printf "%s-image-pull-secret" (include "carrel.name" $root)) -}}
{{- end -}}
{{- uniq $names | toJson -}}
{{- end }}

{{/* Takes [root, image]. */}}
{{- define "carrel.imagePullSecrets" -}}
{{- with include "carrel.pullSecretNames" . | fromJsonArray }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Every image that a user may get without naming it, one a line. */}}
{{- define "carrel.serverImages" -}}
{{- $images := list (include "carrel.image" (list .Values.singleuser.image .)) -}}
{{- if ne (toString .Values.prePuller.pullProfileListImages) "false" -}}
  {{- range include "carrel.list" .Values.singleuser.profileList | fromJsonArray -}}
    {{- $images = append $images (dig "kubespawner_override" "image" "" .) -}}
    {{- range (dig "profile_options" dict . | default dict) -}}
      {{- range (dig "choices" dict . | default dict) -}}
        {{- $images = append $images (dig "kubespawner_override" "image" "" .) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- range include "carrel.list" .Values.prePuller.extraImages | fromJsonArray -}}
  {{- $image := . -}}
  {{- if kindIs "map" . -}}{{- $image = include "carrel.image" (list . $) -}}{{- end -}}
  {{- $images = append $images $image -}}
{{- end -}}
{{- $images | compact | uniq | join "\n" -}}
{{- end }}
