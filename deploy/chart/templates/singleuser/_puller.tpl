{{/* A pod that pulls every image of servers: each is an init container that ends at once. */}}
{{- define "carrel.pullerSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- include "carrel.imagePullSecrets" . }}
securityContext: {runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, seccompProfile: {type: RuntimeDefault}}
{{- with .Values.singleuser.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.singleuser.extraTolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
initContainers:
  {{- range $index, $image := include "carrel.serverImages" . | splitList "\n" }}
  - name: pull-{{ $index }}
    image: {{ $image | quote }}
    command: [/bin/sh, -c, "exit 0"]
    {{- include "carrel.pullerContainer" . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "carrel.pullerContainer" -}}
resources:
  requests: {cpu: 1m, memory: 8Mi}
securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
{{- end }}
