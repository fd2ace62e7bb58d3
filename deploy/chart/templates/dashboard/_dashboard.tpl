{{- define "carrel.dashboardLabels" -}}
{{ include "carrel.selectorLabels" . }}
app.kubernetes.io/component: centraldashboard
{{- end }}

{{/* dashboard.baseUrl with a slash at both ends. */}}
{{- define "carrel.dashboardBase" -}}
{{- with .Values.dashboard.baseUrl | default "/services/dashboard/" | trimAll "/" -}}/{{ . }}/{{- else -}}/{{- end -}}
{{- end }}

{{/* Where browsers find the Hub: with a NodePort of its own, at the Hub's. */}}
{{- define "carrel.dashboardHub" -}}
{{- $service := .Values.proxy.service -}}
{{- $isPlain := and (eq ($service.type | default "NodePort") "NodePort") (empty (include "carrel.certificate" .)) -}}
{{- if .Values.dashboard.hubHost -}}
  {{- .Values.dashboard.hubHost -}}
{{- else if and .Values.dashboard.nodePort $isPlain $service.nodePorts.http -}}
  :{{ $service.nodePorts.http }}
{{- end -}}
{{- end }}

{{/* Puts the token at its place in the values, so that the Hub and the dashboard have the same one: that of the values, of the
Secret that is there, or a new one. */}}
{{- define "carrel.dashboardToken" -}}
{{- if and .Values.dashboard.enabled (not .Values.dashboard.apiToken) -}}
  {{- $kept := lookup "v1" "Secret" .Release.Namespace "centraldashboard" | default dict -}}
  {{- $token := dig "data" "token" "" $kept | b64dec | default (randAlphaNum 48) -}}
  {{- $_ := set .Values.dashboard "apiToken" $token -}}
{{- end -}}
{{- end }}

{{/* As a service of the Hub, as a JSON list of one or none. */}}
{{- define "carrel.dashboardServices" -}}
{{- $services := list -}}
{{- if .Values.dashboard.enabled -}}
  {{- $services = append $services (dict
    "name" "dashboard"
    "api_token" .Values.dashboard.apiToken
    "url" (printf "http://centraldashboard.%s.svc:80" .Release.Namespace)
    "oauth_no_confirm" true
    "oauth_redirect_uri" (printf "%soauth_callback" (include "carrel.dashboardBase" .))
    "oauth_client_allowed_scopes" (concat (list "read:servers!user") (ternary (list "access:services!service=training") list (eq (include "carrel.training" .) "yes")))) -}}
{{- end -}}
{{- toJson $services -}}
{{- end }}
