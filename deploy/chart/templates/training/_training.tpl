{{/* Whether the jobs service is installed. */}}
{{- define "carrel.training" -}}
{{- if and .Values.operator.enabled .Values.trainingService.enabled }}yes{{ end -}}
{{- end }}

{{- define "carrel.trainingLabels" -}}
{{ include "carrel.selectorLabels" . }}
app.kubernetes.io/component: training-service
{{- end }}

{{/* The path of the service, at the Hub and at its own address. */}}
{{- define "carrel.trainingPath" -}}
{{ include "carrel.baseUrl" . }}services/training
{{- end }}

{{/* As a service of the Hub, as a JSON list of one or none. */}}
{{- define "carrel.trainingServices" -}}
{{- $services := list -}}
{{- if include "carrel.training" . -}}
  {{- $url := printf "http://training-service.%s.svc:8080" .Release.Namespace -}}
  {{- $services = append $services (dict "name" "training" "url" $url "display" false) -}}
{{- end -}}
{{- toJson $services -}}
{{- end }}
