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

{{/* Roles, as a JSON list, with the right to use the service for users and their servers. */}}
{{- define "carrel.trainingRoles" -}}
{{- $scope := "access:services!service=training" -}}
{{- $roles := list -}}
{{- $known := dict "user" (list "self") "server" (list "users:activity!user" "access:servers!server") -}}
{{- range include "carrel.named" .Values.hub.loadRoles | fromJsonArray -}}
  {{- $role := . -}}
  {{- if hasKey $known $role.name -}}
    {{- $scopes := append ($role.scopes | default (get $known $role.name)) $scope | uniq -}}
    {{- $role = merge (dict "scopes" $scopes) $role -}}
    {{- $_ := unset $known $role.name -}}
  {{- end -}}
  {{- $roles = append $roles $role -}}
{{- end -}}
{{- range $name, $scopes := $known -}}
  {{- $roles = append $roles (dict "name" $name "scopes" (append $scopes $scope)) -}}
{{- end -}}
{{- toJson $roles -}}
{{- end }}

{{/* Services of the Hub, as a JSON list, with this one. */}}
{{- define "carrel.trainingServices" -}}
{{- $url := printf "http://training-service.%s.svc:8080" .Release.Namespace -}}
{{- $own := dict "name" "training" "url" $url "display" false -}}
{{- append (include "carrel.services" .Values.hub.services | fromJsonArray) $own | toJson -}}
{{- end }}
