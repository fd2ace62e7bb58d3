{{- define "carrel.name" -}}
{{ .Values.fullnameOverride | default .Release.Name }}
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
{{ $image.name }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end }}

{{- define "carrel.imagePullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Every image that a user may get without naming it, one a line. */}}
{{- define "carrel.serverImages" -}}
{{- $images := list (include "carrel.image" (list .Values.singleuser.image .)) -}}
{{- range .Values.singleuser.profileList -}}
  {{- $images = append $images (dig "kubespawner_override" "image" "" .) -}}
  {{- range (dig "profile_options" dict . | default dict) -}}
    {{- range (dig "choices" dict . | default dict) -}}
      {{- $images = append $images (dig "kubespawner_override" "image" "" .) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- concat $images .Values.prePuller.extraImages | compact | uniq | join "\n" -}}
{{- end }}
