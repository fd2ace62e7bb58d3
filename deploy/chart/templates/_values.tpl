{{/*
Values as the templates need them: each map is there, whatever `null` the values hold; what this chart cannot do is
refused, with what does it instead (moving.yaml). Every template begins with it.
*/}}
{{- define "carrel.prepare" -}}
{{- range list "hub" "hub.config" "hub.image" "hub.db" "hub.db.pvc" "hub.pdb" "hub.networkPolicy" "hub.service"
    "hub.networkPolicy.egressAllowRules" "hub.extraFiles" "proxy" "proxy.apart" "proxy.apart.pdb" "proxy.apart.networkPolicy"
    "proxy.apart.networkPolicy.egressAllowRules" "proxy.service" "proxy.service.nodePorts" "proxy.https"
    "proxy.https.manual" "proxy.https.secret"
    "singleuser" "singleuser.image" "singleuser.cpu" "singleuser.memory" "singleuser.extraResource" "singleuser.storage"
    "singleuser.storage.static" "singleuser.storage.dynamic" "singleuser.networkPolicy" "singleuser.cloudMetadata"
    "singleuser.networkPolicy.egressAllowRules" "singleuser.networkTools.image" "singleuser.extraFiles"
    "singleuser.extraNodeAffinity" "singleuser.extraPodAffinity" "singleuser.extraPodAntiAffinity"
    "scheduling.podPriority" "scheduling.userPlaceholder" "scheduling.userPlaceholder.image"
    "scheduling.corePods.nodeAffinity" "scheduling.userPods.nodeAffinity" "cull" "rbac" "ingress" "httpRoute"
    "prePuller" "prePuller.hook" "prePuller.continuous" "imagePullSecret" "operator" "operator.image" "operator.runtimeImages" "dashboard" "dashboard.image" "gateway" "gateway.image" "gateway.networkPolicy" "gateway.networkPolicy.egressAllowRules"
    "inference" "inference.image" "inference.model" "inference.model.volume" "inference.config" "inference.autoscaling"
    "inference.servingRuntime" "inference.networkPolicy" "inference.networkPolicy.egressAllowRules" "usageReport" "debug" -}}
  {{- $at := $.Values -}}
  {{- range $key := splitList "." . -}}
    {{- if not (kindIs "map" (get $at $key)) -}}{{- $_ := set $at $key dict -}}{{- end -}}
    {{- $at = get $at $key -}}
  {{- end -}}
{{- end -}}
{{- range $pods, $name := dict "hub" "carrel-hub" "singleuser" "carrel-singleuser" "operator" "carrel-operator" "dashboard" "carrel-dashboard" "gateway" "carrel-gateway" "inference" "carrel-inference" -}}
  {{- $image := get (get $.Values $pods) "image" -}}
  {{- if not $image.name -}}{{- $_ := set $image "name" (printf "localhost/%s" $name) -}}{{- end -}}
{{- end -}}
{{- include "carrel.dashboardToken" . -}}
{{- include "carrel.refuse" . -}}
{{- end }}

{{/* The Secret with the certificate by which the Hub itself speaks HTTPS; nothing where it does not. */}}
{{- define "carrel.certificate" -}}
{{- $https := .Values.proxy.https -}}
{{- if and $https.enabled (has $https.type (list "manual" "secret")) -}}
  {{- if or .Values.ingress.enabled .Values.httpRoute.enabled -}}
    {{- fail "proxy.https.type: an Ingress or a Gateway has the certificate itself; give it in ingress.tls, or to the Gateway" -}}
  {{- end -}}
  {{- if eq $https.type "secret" -}}
    {{- required "proxy.https.secret.name is needed for proxy.https.type secret" $https.secret.name -}}
  {{- else -}}
    {{- include "carrel.name" . }}-tls
  {{- end -}}
{{- end -}}
{{- end }}

{{/* How many Hubs there are. Several share a database: one on a volume is one Hub's. */}}
{{- define "carrel.hubs" -}}
{{- $hubs := .Values.hub.replicas | default 1 | int -}}
{{- if and (gt $hubs 1) (ne .Values.hub.db.type "postgres") -}}
  {{- fail "hub.replicas: several Hubs need a database that all reach: hub.db.type postgres" -}}
{{- end -}}
{{- $hubs -}}
{{- end }}

{{/* What values hold at a path of keys, as JSON. Takes [values, path]. */}}
{{- define "carrel.at" -}}
{{- $at := index . 0 -}}
{{- range $key := splitList "." (index . 1) -}}
  {{- if kindIs "map" $at -}}{{- $at = get $at $key -}}{{- else -}}{{- $at = "" -}}{{- end -}}
{{- end -}}
{{- dict "it" $at | toJson -}}
{{- end }}

{{- define "carrel.refuse" -}}
{{- $mistakes := list -}}
{{- range (.Files.Get "moving.yaml" | fromYaml).refused -}}
  {{- $given := (include "carrel.at" (list $.Values .path) | fromJson).it -}}
  {{- if and .default (empty $given) -}}{{- $given = .default -}}{{- end -}}
  {{- $asked := or (not .where) (include "carrel.at" (list $.Values (.where | default "")) | fromJson).it -}}
  {{- $is := .is | default list -}}
  {{- if and $asked $given (or (empty $is) (has $given $is)) -}}
    {{- $mistakes = append $mistakes (printf "%s: %s" .path .instead) -}}
  {{- end -}}
{{- end -}}
{{- with $mistakes }}{{ fail (printf "\n\n%s\n" (join "\n\n" .)) }}{{ end -}}
{{- end }}

{{/* A list, or a map in its place: then its values, sorted by their keys. As a JSON list. */}}
{{- define "carrel.list" -}}
{{- $items := list -}}
{{- range . -}}{{- if not (kindIs "invalid" .) -}}{{- $items = append $items . -}}{{- end -}}{{- end -}}
{{- $items | toJson -}}
{{- end }}

{{/* Environment variables of a container, from a map of texts and mappings, or from a list. As a JSON list. */}}
{{- define "carrel.env" -}}
{{- $variables := list -}}
{{- if kindIs "slice" . -}}
  {{- $variables = . -}}
{{- else -}}
  {{- range $name, $value := . -}}
    {{- if kindIs "map" $value -}}
      {{- $variables = append $variables (merge (dict "name" $name) $value) -}}
    {{- else if not (kindIs "invalid" $value) -}}
      {{- $variables = append $variables (dict "name" $name "value" (toString $value)) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- toJson $variables -}}
{{- end }}

{{/* hub.baseUrl with a slash at both ends. */}}
{{- define "carrel.baseUrl" -}}
{{- with .Values.hub.baseUrl | default "/" | trimAll "/" -}}/{{ . }}/{{- else -}}/{{- end -}}
{{- end }}
