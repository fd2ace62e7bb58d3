{{/* Tolerations and affinity of a pod of the Hub's own. Takes [root, values under `scheduling`, purpose, further tolerations]. */}}
{{- define "carrel.placement" -}}
{{- $pods := index . 1 -}}
{{- $tolerations := concat (include "carrel.list" $pods.tolerations | fromJsonArray) (include "carrel.list" (index . 3) | fromJsonArray) -}}
{{- with $tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $terms := include "carrel.purpose" (list $pods (index . 2)) | fromJson }}
{{- if or $terms.required $terms.preferred }}
affinity:
  nodeAffinity:
    {{- with $terms.required }}
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        {{- toYaml . | nindent 8 }}
    {{- end }}
    {{- with $terms.preferred }}
    preferredDuringSchedulingIgnoredDuringExecution:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
{{- end }}

{{/* Terms for nodes of a purpose, as `nodeAffinity.matchNodePurpose` asks for them. Takes [values, purpose]. */}}
{{- define "carrel.purpose" -}}
{{- $match := dig "nodeAffinity" "matchNodePurpose" "prefer" (index . 0) | default "prefer" -}}
{{- $expression := dict "key" "hub.jupyter.org/node-purpose" "operator" "In" "values" (list (index . 1)) -}}
{{- $term := dict "matchExpressions" (list $expression) -}}
{{- $required := list -}}
{{- $preferred := list -}}
{{- if eq $match "require" -}}{{- $required = list $term -}}{{- end -}}
{{- if eq $match "prefer" -}}{{- $preferred = list (dict "weight" 100 "preference" $term) -}}{{- end -}}
{{- dict "required" $required "preferred" $preferred | toJson -}}
{{- end }}

{{/* Name of a priority class, where scheduling.podPriority makes one. Takes [root, which, given]. */}}
{{- define "carrel.priority" -}}
{{- $root := index . 0 -}}
{{- if index . 2 -}}
{{ index . 2 }}
{{- else if $root.Values.scheduling.podPriority.enabled -}}
{{ include "carrel.name" $root }}-{{ index . 1 }}-priority
{{- end -}}
{{- end }}
