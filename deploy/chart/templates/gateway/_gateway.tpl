{{- define "carrel.gatewayLabels" -}}
{{ include "carrel.selectorLabels" . }}
app.kubernetes.io/component: ambassador
{{- end }}

{{/* Arguments of the gateway, as a JSON list. */}}
{{- define "carrel.gatewayArguments" -}}
{{- $arguments := list (printf "--hub=http://%s-lb.%s.svc" (include "carrel.name" .) .Release.Namespace) -}}
{{- if include "carrel.certificate" . -}}
  {{- fail "gateway.enabled: where the gateway stands before the Hub, it has the certificate: gateway.tlsSecret in place of proxy.https" -}}
{{- end -}}
{{- $arguments = append $arguments (printf "--hub-base=%s" (include "carrel.baseUrl" .)) -}}
{{- if .Values.dashboard.enabled -}}
  {{- $arguments = append $arguments (printf "--dashboard=http://centraldashboard.%s.svc" .Release.Namespace) -}}
  {{- $arguments = append $arguments (printf "--jobs-dashboard=http://tf-job-dashboard.%s.svc" .Release.Namespace) -}}
{{- end -}}
{{- with .Values.gateway -}}
  {{- with .kubernetesDashboard -}}{{- $arguments = append $arguments (printf "--kubernetes-dashboard=%s" .) -}}{{- end -}}
  {{- range include "carrel.list" .hosts | fromJsonArray -}}{{- $arguments = append $arguments (printf "--host=%s" .) -}}{{- end -}}
  {{- range include "carrel.list" .namespaces | fromJsonArray -}}{{- $arguments = append $arguments (printf "--namespace=%s" .) -}}{{- end -}}
  {{- range include "carrel.list" .trustedProxies | fromJsonArray -}}{{- $arguments = append $arguments (printf "--trusted-proxies=%s" .) -}}{{- end -}}
  {{- range include "carrel.list" .unverified | fromJsonArray -}}{{- $arguments = append $arguments (printf "--unverified=%s" .) -}}{{- end -}}
  {{- if .targetCertificates -}}{{- $arguments = append $arguments "--target-ca=/etc/carrel/targets/ca.pem" -}}{{- end -}}
  {{- if .tlsSecret -}}
    {{- $arguments = concat $arguments (list "--tls-key=/etc/carrel/tls/tls.key" "--tls-certificate=/etc/carrel/tls/tls.crt") -}}
  {{- end -}}
{{- end -}}
{{- toJson $arguments -}}
{{- end }}
