{{/* A pod that pulls every image of servers: each is an init container that ends at once. */}}
{{- define "carrel.pullerSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- include "carrel.imagePullSecrets" (list . .Values.singleuser.image) }}

securityContext: {runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, seccompProfile: {type: RuntimeDefault}}
{{- $selector := .Values.singleuser.nodeSelector | default dict }}
{{- if eq (toString .Values.scheduling.userPods.nodeAffinity.matchNodePurpose) "require" }}
{{- $selector = merge (dict "hub.jupyter.org/node-purpose" "user") $selector }}
{{- end }}
{{- with $selector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $own := concat (include "carrel.list" .Values.singleuser.extraTolerations | fromJsonArray) (include "carrel.list" .Values.prePuller.extraTolerations | fromJsonArray) }}
{{- with concat (include "carrel.list" .Values.scheduling.userPods.tolerations | fromJsonArray) $own }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
initContainers:
  {{- range $index, $image := include "carrel.serverImages" . | splitList "\n" }}
  - name: pull-{{ $index }}
    image: {{ $image | quote }}
    command: [/bin/sh, -c, "exit 0"]
    {{- include "carrel.pullerContainer" $ | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "carrel.pullerContainer" -}}
resources:
  {{- .Values.prePuller.resources | default (dict "requests" (dict "cpu" "1m" "memory" "8Mi")) | toYaml | nindent 2 }}
securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
{{- end }}
