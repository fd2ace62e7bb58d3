{{/* Services of the Hub, as a JSON list: those of the values and what is installed beside it. */}}
{{- define "carrel.allServices" -}}
{{- concat (include "carrel.services" .Values.hub.services | fromJsonArray)
  (include "carrel.trainingServices" . | fromJsonArray) (include "carrel.dashboardServices" . | fromJsonArray) | toJson -}}
{{- end }}

{{/* Roles, as a JSON list: those of the values, and for users the right to use what is installed beside the Hub, on top of what
they have without it. */}}
{{- define "carrel.roles" -}}
{{- $further := list -}}
{{- if include "carrel.training" . -}}{{- $further = append $further "access:services!service=training" -}}{{- end -}}
{{- if and .Values.dashboard.enabled .Values.dashboard.everybody -}}
  {{- $further = append $further "access:services!service=dashboard" -}}
{{- end -}}
{{- $roles := list -}}
{{- $user := dict "name" "user" "scopes" (list "self") -}}
{{- range include "carrel.named" .Values.hub.loadRoles | fromJsonArray -}}
  {{- /* No scopes at all is what an administrator may want. */}}
  {{- if and $further (eq .name "user") -}}
    {{- $user = hasKey . "scopes" | ternary . (merge (dict "scopes" (list "self")) .) -}}
  {{- else -}}
    {{- $roles = append $roles . -}}
  {{- end -}}
{{- end -}}
{{- if $further -}}
  {{- $scopes := concat ($user.scopes | default list) $further | uniq -}}
  {{- $roles = append $roles (merge (dict "scopes" $scopes) $user) -}}
{{- end -}}
{{- toJson $roles -}}
{{- end }}
