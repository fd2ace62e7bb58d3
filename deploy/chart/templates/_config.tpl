{{/* The Hub's configuration: what the values give, and over it hub.config. */}}
{{- define "carrel.config" -}}
{{- $config := include "carrel.configOfValues" . | fromYaml -}}
{{- range $section, $keys := .Values.hub.config -}}
  {{- if $keys -}}
    {{- $_ := set $config $section (mustMergeOverwrite (get $config $section | default dict) (deepCopy $keys)) -}}
  {{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end }}

{{- define "carrel.configOfValues" -}}
JupyterHub:
  ip: 0.0.0.0
  {{- if include "carrel.certificate" . }}
  {{- $files := eq .Values.proxy.https.type "secret" | ternary .Values.proxy.https.secret dict }}
  port: 8443
  {{- if include "carrel.redirects" . }}
  redirect_port: 8080
  redirect_to: {{ include "carrel.httpsPort" . }}
  {{- end }}
  ssl_key: /etc/carrel-tls/{{ $files.key | default "tls.key" }}
  ssl_cert: /etc/carrel-tls/{{ $files.crt | default "tls.crt" }}
  hub_ip: 0.0.0.0
  hub_port: 8000
  {{- else }}
  port: 8000
  {{- end }}
  base_url: {{ include "carrel.baseUrl" . }}
  hub_connect_url: {{ include "carrel.hubUrl" . }}
  {{- if .Values.proxy.apart.enabled }}
  proxy_class: configurable-http-proxy
  {{- end }}
  spawner_class: kube
  concurrent_spawn_limit: {{ .Values.hub.concurrentSpawnLimit | default 0 }}
  active_server_limit: {{ .Values.hub.activeServerLimit | default 0 }}
  trusted_downstream_ips: {{ include "carrel.trustedProxies" . }}
  # Servers go on while the Hub is replaced.
  cleanup_servers: false
  {{- range $key, $value := dict
    "redirect_to_server" .Values.hub.redirectToServer
    "allow_named_servers" .Values.hub.allowNamedServers
    "named_server_limit_per_user" .Values.hub.namedServerLimitPerUser }}
  {{- if not (kindIs "invalid" $value) }}
  {{ $key }}: {{ toJson $value }}
  {{- end }}
  {{- end }}
  {{- with include "carrel.roles" . | fromJsonArray }}
  load_roles: {{ toJson . }}
  {{- end }}
  {{- with include "carrel.allServices" . | fromJsonArray }}
  services: {{ toJson . }}
  {{- end }}
  {{- if eq .Values.hub.db.type "postgres" }}
  db_url: {{ required "hub.db.url is needed for hub.db.type postgres" .Values.hub.db.url | quote }}
  {{- end }}
{{- if .Values.proxy.apart.enabled }}
ConfigurableHTTPProxy:
  api_url: http://{{ include "carrel.name" . }}-proxy-api.{{ .Release.Namespace }}.svc:8001
{{- end }}
{{- with .Values.cull }}
IdleCuller:
  {{- range $key, $value := dict
    "enabled" .enabled
    "timeout" .timeout
    "every" .every
    "concurrency" .concurrency
    "max_age" .maxAge
    "remove_named_servers" .removeNamedServers
    "users" .users
    "admin_users" .adminUsers }}
  {{- if not (kindIs "invalid" $value) }}
  {{ $key }}: {{ toJson $value }}
  {{- end }}
  {{- end }}
{{- end }}
{{- with .Values.singleuser }}
Spawner:
  start_timeout: {{ .startTimeout | default 300 }}
  {{- with .defaultUrl }}
  default_url: {{ . | quote }}
  {{- end }}
KubeSpawner:
  image: {{ include "carrel.image" (list .image $) | quote }}
  image_pull_policy: {{ .image.pullPolicy | default "IfNotPresent" }}
  {{- with include "carrel.pullSecretNames" (list $ .image) | fromJsonArray }}
  image_pull_secrets: {{ toJson . }}
  {{- end }}
  events_enabled: {{ ne (toString .events) "false" }}
  {{- if .allowPrivilegeEscalation }}
  allow_privilege_escalation: true
  {{- end }}
  extra_labels: {{ merge (dict) (.extraLabels | default dict) (include "carrel.serverLabels" $ | fromYaml) | toJson }}
  {{- $pods := $.Values.scheduling.userPods }}
  {{- $purpose := include "carrel.purpose" (list $pods "user") | fromJson }}
  {{- $environment := dict }}
  {{- if include "carrel.training" $ }}
  {{- $_ := set $environment "CARREL_JOBS_URL" (printf "http://%s-lb.%s.svc%s" (include "carrel.name" $) $.Release.Namespace (include "carrel.trainingPath" $)) }}
  {{- end }}
  {{- range include "carrel.env" .extraEnv | fromJsonArray }}
  {{- $_ := set $environment .name (hasKey . "value" | ternary .value (omit . "name")) }}
  {{- end }}
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
    "environment" $environment
    "extra_annotations" .extraAnnotations
    "node_selector" .nodeSelector
    "tolerations" (concat (include "carrel.list" $pods.tolerations | fromJsonArray) (include "carrel.list" .extraTolerations | fromJsonArray))
    "node_affinity_required" (concat $purpose.required (include "carrel.list" .extraNodeAffinity.required | fromJsonArray))
    "node_affinity_preferred" (concat $purpose.preferred (include "carrel.list" .extraNodeAffinity.preferred | fromJsonArray))
    "pod_affinity_required" (include "carrel.list" .extraPodAffinity.required | fromJsonArray)
    "pod_affinity_preferred" (include "carrel.list" .extraPodAffinity.preferred | fromJsonArray)
    "pod_anti_affinity_required" (include "carrel.list" .extraPodAntiAffinity.required | fromJsonArray)
    "pod_anti_affinity_preferred" (include "carrel.list" .extraPodAntiAffinity.preferred | fromJsonArray)
    "priority_class_name" (include "carrel.priority" (list $ "default" .priorityClassName))
    "pod_name_template" .podNameTemplate
    "service_account" .serviceAccountName
    "init_containers" (concat (include "carrel.metadataBlock" $ | fromJsonArray) (include "carrel.list" .initContainers | fromJsonArray))
    "extra_containers" (include "carrel.list" .extraContainers | fromJsonArray)
    "lifecycle_hooks" .lifecycleHooks
    "extra_pod_config" .extraPodConfig
    "profile_list" (include "carrel.list" .profileList | fromJsonArray) }}
  {{- range $name, $value := $options }}
  {{- if not (or (kindIs "invalid" $value) (and (has (kindOf $value) (list "string" "map" "slice")) (empty $value))) }}
  {{ $name }}: {{ toJson $value }}
  {{- end }}
  {{- end }}
  {{- include "carrel.storage" $ | nindent 2 }}
{{- end }}
{{- end }}

{{/* What stands before the Hub, as JSON. */}}
{{- define "carrel.trustedProxies" -}}
{{- include "carrel.list" .Values.hub.trustedProxies -}}
{{- end }}

{{/* Whether the Hub leads from http to https: not where the cluster chooses the port of https, which nobody here knows. */}}
{{- define "carrel.redirects" -}}
{{- with .Values.proxy.service -}}
{{- $chosen := and (eq (.type | default "NodePort") "NodePort") (not .nodePorts.https) -}}
{{- if not (or .disableHttpPort $chosen) }}yes{{ end -}}
{{- end -}}
{{- end }}

{{/* At which port people find HTTPS that the Hub speaks itself. */}}
{{- define "carrel.httpsPort" -}}
{{- with .Values.proxy.service -}}
{{- if eq (.type | default "NodePort") "NodePort" -}}{{- .nodePorts.https | default 443 -}}{{- else -}}443{{- end -}}
{{- end -}}
{{- end }}

{{/* Takes the root. */}}
{{- define "carrel.storage" -}}
{{- with .Values.singleuser.storage }}
{{- $files := $.Values.singleuser.extraFiles }}
{{- $volumes := include "carrel.filesVolumes" (list $files (printf "%s-singleuser-files" (include "carrel.name" $))) | fromJsonArray }}
{{- $mounts := include "carrel.filesMounts" $files | fromJsonArray }}
{{- $home := .homeMountPath | default "/home/jovyan" }}
{{- if eq .type "dynamic" }}
{{- $volumes = append $volumes (dict "name" "home" "persistentVolumeClaim" (dict "claimName" "{pvc_name}")) }}
{{- $mounts = append $mounts (merge (dict "name" "home" "mountPath" $home) (empty .dynamic.subPath | ternary dict (dict "subPath" .dynamic.subPath))) }}
storage_pvc_ensure: true
storage_extra_labels: {{ merge (dict "app.kubernetes.io/instance" $.Release.Name) (.extraLabels | default dict) | toJson }}
storage_capacity: {{ .capacity | default "10Gi" }}
pvc_name_template: {{ .dynamic.pvcNameTemplate | default "claim-{user_server}" | quote }}
storage_access_modes: {{ .dynamic.storageAccessModes | default (list "ReadWriteOnce") | toJson }}
{{- with .dynamic.storageClass }}
storage_class: {{ . | quote }}
{{- end }}
{{- else if eq .type "static" }}
{{- $claim := required "singleuser.storage.static.pvcName is needed for singleuser.storage.type static" .static.pvcName }}
{{- $volumes = append $volumes (dict "name" "home" "persistentVolumeClaim" (dict "claimName" $claim)) }}
{{- $mounts = append $mounts (dict "name" "home" "mountPath" $home "subPath" (.static.subPath | default "{username}")) }}
{{- end }}
volumes: {{ concat $volumes (include "carrel.list" .extraVolumes | fromJsonArray) | default list | toJson }}
volume_mounts: {{ concat $mounts (include "carrel.list" .extraVolumeMounts | fromJsonArray) | default list | toJson }}
{{- end }}
{{- end }}

{{/* Items by name, as a JSON list whose items hold their names. */}}
{{- define "carrel.named" -}}
{{- $items := list -}}
{{- if kindIs "slice" . -}}{{- $items = . -}}{{- else -}}
{{- range $name, $item := . -}}
  {{- if kindIs "map" $item -}}{{- $items = append $items (merge (dict) $item (dict "name" $name)) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $items -}}
{{- end }}

{{/* hub.services, whose tokens may be called apiToken. */}}
{{- define "carrel.services" -}}
{{- $services := list -}}
{{- range include "carrel.named" . | fromJsonArray -}}
  {{- $service := omit . "apiToken" -}}
  {{- with .apiToken }}{{- $_ := set $service "api_token" . -}}{{ end -}}
  {{- $services = append $services $service -}}
{{- end -}}
{{- toJson $services -}}
{{- end }}

{{/* The container that keeps servers from the cloud's metadata, as a JSON list of one or none. */}}
{{- define "carrel.metadataBlock" -}}
{{- $containers := list -}}
{{- with .Values.singleuser -}}
{{- if .cloudMetadata.blockWithIptables -}}
  {{- $image := .networkTools.image -}}
  {{- $command := list "iptables" "--append" "OUTPUT" "--protocol" "tcp" "--destination" (.cloudMetadata.ip | default "169.254.169.254") "--destination-port" "80" "--jump" "DROP" -}}
  {{- $capabilities := dict "drop" (list "ALL") "add" (list "NET_ADMIN" "NET_RAW") -}}
  {{- $security := dict "runAsUser" 0 "runAsNonRoot" false "privileged" true "capabilities" $capabilities -}}
  {{- $containers = list (dict "name" "block-cloud-metadata" "image" (printf "%s:%s" ($image.name | default "quay.io/jupyterhub/k8s-network-tools") ($image.tag | default "4.0.0")) "command" $command "securityContext" $security) -}}
{{- end -}}
{{- end -}}
{{- toJson $containers -}}
{{- end }}
