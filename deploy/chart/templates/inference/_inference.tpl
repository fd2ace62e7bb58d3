{{- define "carrel.inferenceLabels" -}}
{{ include "carrel.selectorLabels" . }}
app.kubernetes.io/component: inference
{{- end }}

{{/* Where the model comes from: volume, claim, image, files, or none of these: then the server's own image has it. */}}
{{- define "carrel.modelSource" -}}
{{- $given := list -}}
{{- range list "volume" "claim" "image" "files" -}}
  {{- if get $.Values.inference.model . -}}{{- $given = append $given . -}}{{- end -}}
{{- end -}}
{{- if gt (len $given) 1 -}}
  {{- fail (printf "inference.model: the model comes from one place, not from %s" (join " and " $given)) -}}
{{- end -}}
{{- with $given -}}{{- first . -}}{{- end -}}
{{- end }}

{{/* The volume of the model, without its name; `subPath` is where the model's versions lie in it. */}}
{{- define "carrel.modelVolume" -}}
{{- $source := include "carrel.modelSource" . -}}
{{- with .Values.inference.model -}}
  {{- if eq $source "volume" -}}
{{ toYaml .volume }}
  {{- else if eq $source "claim" -}}
persistentVolumeClaim: {claimName: {{ .claim | quote }}, readOnly: true}
  {{- else if eq $source "image" -}}
image: {reference: {{ .image | quote }}, pullPolicy: {{ .pullPolicy | default "IfNotPresent" }}}
  {{- else -}}
emptyDir: {sizeLimit: {{ include "carrel.modelSizeLimit" $ }}Gi}
  {{- end -}}
{{- end -}}
{{- end }}

{{/* The most that brought files have together, in GiB. */}}
{{- define "carrel.modelSizeLimit" -}}
{{- with .Values.inference.model -}}{{- kindIs "invalid" .sizeLimitGi | ternary 16 .sizeLimitGi | int64 -}}{{- end -}}
{{- end }}

{{/* Arguments of the server, as a JSON list. */}}
{{- define "carrel.inferenceArguments" -}}
{{- $arguments := list "--port=9000" "--rest_api_port=8000" -}}
{{- with .Values.inference -}}
  {{- if .config -}}
    {{- $arguments = append $arguments "--model_config_file=/etc/carrel/models.yaml" -}}
  {{- else -}}
    {{- $arguments = concat $arguments (list (printf "--model_name=%s" .name) (printf "--model_base_path=/models/%s" .name)) -}}
  {{- end -}}
  {{- if .tokensSecret -}}{{- $arguments = append $arguments "--tokens=/etc/carrel-tokens/tokens" -}}{{- end -}}
  {{- $arguments = concat $arguments (include "carrel.list" .arguments | fromJsonArray) -}}
{{- end -}}
{{- toJson $arguments -}}
{{- end }}

{{/* Brings the files of a version before the server starts. */}}
{{- define "carrel.fetchModel" -}}
{{- with .Values.inference }}
- name: fetch
  image: {{ include "carrel.image" (list .image $) | quote }}
  imagePullPolicy: {{ .image.pullPolicy | default "IfNotPresent" }}
  args:
    - fetch
    - --to=/models/{{ .name }}/{{ kindIs "invalid" .model.version | ternary 1 .model.version | int64 }}
    - {{ printf "--files=%s" (include "carrel.list" .model.files) | quote }}
    - --most-bytes={{ include "carrel.modelSizeLimit" $ | int64 | mul 1073741824 }}
  {{- with .resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: {drop: [ALL]}
  volumeMounts:
    - {name: model, mountPath: /models/{{ .name }}}
{{- end }}
{{- end }}
