{{/* Services of the Hub, as a JSON list: those of the values and what is installed beside it. */}}
{{- define "carrel.allServices" -}}
{{- concat (include "carrel.services" .Values.hub.services | fromJsonArray)
  (include "carrel.trainingServices" . | fromJsonArray) (include "carrel.dashboardServices" . | fromJsonArray) | toJson -}}
{{- end }}

{{/* Roles, as a JSON list: those of the values, and for users and their servers the right to use what is installed beside the
Hub, on top of what they have without it. */}}
{{- define "carrel.roles" -}}
{{- $further := dict "user" list "server" list -}}
{{- if include "carrel.training" . -}}
  {{- range $name := list "user" "server" -}}
    {{- $_ := set $further $name (append (get $further $name) "access:services!service=training") -}}
  {{- end -}}
{{- end -}}
{{- if and .Values.dashboard.enabled .Values.dashboard.everybody -}}
  {{- $_ := set $further "user" (append $further.user "access:services!service=dashboard") -}}
{{- end -}}
{{- $known := dict "user" (list "self") "server" (list "users:activity!user" "access:servers!server") -}}
{{- $roles := list -}}
{{- range include "carrel.named" .Values.hub.loadRoles | fromJsonArray -}}
  {{- $role := . -}}
  {{- $scopes := get $further $role.name -}}
  {{- if $scopes -}}
    {{- /* None at all is what an administrator may want. */}}
    {{- $scopes = concat (hasKey $role "scopes" | ternary ($role.scopes | default list) (get $known $role.name)) $scopes | uniq -}}
    {{- $role = merge (dict "scopes" $scopes) $role -}}
    {{- $_ := unset $further $role.name -}}
  {{- end -}}
  {{- $roles = append $roles $role -}}
{{- end -}}
{{- range $name, $scopes := $further -}}
  {{- if $scopes -}}
    {{- $roles = append $roles (dict "name" $name "scopes" (concat (get $known $name) $scopes)) -}}
  {{- end -}}
{{- end -}}
{{- toJson $roles -}}
{{- end }}
