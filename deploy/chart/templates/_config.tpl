{{/* The Hub's configuration: what the values give, and over it hub.config. */}}
{{- define "carrel.config" -}}
{{- mustMergeOverwrite (include "carrel.configOfValues" . | fromYaml) (deepCopy .Values.hub.config) | toYaml -}}
{{- end }}

{{- define "carrel.configOfValues" -}}
JupyterHub:
  ip: 0.0.0.0
  port: 8000
  base_url: {{ .Values.hub.baseUrl }}
  hub_connect_url: http://{{ include "carrel.name" . }}-lb.{{ .Release.Namespace }}.svc
  spawner_class: kube
  concurrent_spawn_limit: {{ .Values.hub.concurrentSpawnLimit | default 0 }}
  active_server_limit: {{ .Values.hub.activeServerLimit | default 0 }}
  trusted_downstream_ips: {{ toJson .Values.hub.trustedProxies }}
  # Servers go on while the Hub is replaced.
  cleanup_servers: false
  {{- if eq .Values.hub.db.type "postgres" }}
  db_url: {{ required "hub.db.url is needed for hub.db.type postgres" .Values.hub.db.url | quote }}
  {{- end }}
{{- with .Values.cull }}
IdleCuller:
  enabled: {{ .enabled }}
  timeout: {{ .timeout }}
  every: {{ .every }}
  concurrency: {{ .concurrency }}
  max_age: {{ .maxAge }}
  remove_named_servers: {{ .removeNamedServers }}
  users: {{ .users }}
  admin_users: {{ .adminUsers }}
{{- end }}
{{- with .Values.singleuser }}
Spawner:
  start_timeout: {{ .startTimeout }}
  {{- with .defaultUrl }}
  default_url: {{ . | quote }}
  {{- end }}
KubeSpawner:
  image: {{ include "carrel.image" (list .image $) | quote }}
  image_pull_policy: {{ .image.pullPolicy }}
  {{- with $.Values.imagePullSecrets }}
  image_pull_secrets: {{ toJson . }}
  {{- end }}
  events_enabled: {{ .events }}
  extra_labels: {{ merge (dict) .extraLabels (include "carrel.serverLabels" $ | fromYaml) | toJson }}
  {{- $options := dict
    "cmd" .cmd
    "uid" .uid
    "fs_gid" .fsGid
    "cpu_limit" .cpu.limit
    "cpu_guarantee" .cpu.guarantee
    "mem_limit" .memory.limit
    "mem_guarantee" .memory.guarantee
    "extra_resource_limits" .extraResource.limits
    "extra_resource_guarantees" .extraResource.guarantees
    "environment" .extraEnv
    "extra_annotations" .extraAnnotations
    "node_selector" .nodeSelector
    "tolerations" .extraTolerations
    "priority_class_name" .priorityClassName
    "service_account" .serviceAccountName
    "init_containers" .initContainers
    "extra_containers" .extraContainers
    "lifecycle_hooks" .lifecycleHooks
    "extra_pod_config" .extraPodConfig
    "profile_list" .profileList }}
  {{- range $name, $value := $options }}
  {{- if not (or (kindIs "invalid" $value) (and (has (kindOf $value) (list "string" "map" "slice")) (empty $value))) }}
  {{ $name }}: {{ toJson $value }}
  {{- end }}
  {{- end }}
  {{- include "carrel.storage" $ | nindent 2 }}
{{- end }}
{{- end }}

{{/* Takes the root. */}}
{{- define "carrel.storage" -}}
{{- with .Values.singleuser.storage }}
{{- $volumes := list }}
{{- $mounts := list }}
{{- if eq .type "dynamic" }}
{{- $volumes = append $volumes (dict "name" "home" "persistentVolumeClaim" (dict "claimName" "{pvc_name}")) }}
{{- $mounts = append $mounts (dict "name" "home" "mountPath" .homeMountPath) }}
storage_pvc_ensure: true
storage_extra_labels:
  app.kubernetes.io/instance: {{ $.Release.Name }}
storage_capacity: {{ .capacity }}
pvc_name_template: {{ .dynamic.pvcNameTemplate | quote }}
storage_access_modes: {{ toJson .dynamic.storageAccessModes }}
{{- with .dynamic.storageClass }}
storage_class: {{ . | quote }}
{{- end }}
{{- else if eq .type "static" }}
{{- $claim := required "singleuser.storage.static.pvcName is needed for singleuser.storage.type static" .static.pvcName }}
{{- $volumes = append $volumes (dict "name" "home" "persistentVolumeClaim" (dict "claimName" $claim)) }}
{{- $mounts = append $mounts (dict "name" "home" "mountPath" .homeMountPath "subPath" .static.subPath) }}
{{- end }}
volumes: {{ concat $volumes .extraVolumes | default list | toJson }}
volume_mounts: {{ concat $mounts .extraVolumeMounts | default list | toJson }}
{{- end }}
{{- end }}
