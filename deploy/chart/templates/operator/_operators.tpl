{{/* The operators, the first two under the names of the walkthrough, each with its kind, as JSON. */}}
{{- define "carrel.operators" -}}
{{- dict "tf-job-operator-v1alpha2" "tfjob" "pytorch-operator" "pytorchjob" "trainer-operator" "trainjob" | toJson -}}
{{- end }}

{{- define "carrel.operatorLabels" -}}
{{ include "carrel.selectorLabels" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}
