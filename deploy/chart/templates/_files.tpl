{{/* Data of a Secret with extraFiles: what is to be in the files. */}}
{{- define "carrel.filesData" -}}
{{- $texts := dict -}}
{{- $binaries := dict -}}
{{- range $key, $file := . -}}
  {{- if kindIs "map" $file -}}
  {{- $path := $file.mountPath | default $key -}}
  {{- if $file.binaryData -}}
    {{- $_ := set $binaries $key ($file.binaryData | nospace) -}}
  {{- else if not (kindIs "invalid" $file.stringData) -}}
    {{- $_ := set $texts $key $file.stringData -}}
  {{- else if hasSuffix ".toml" $path -}}
    {{- $_ := set $texts $key (toToml $file.data) -}}
  {{- else if or (hasSuffix ".yaml" $path) (hasSuffix ".yml" $path) -}}
    {{- $_ := set $texts $key (toYaml $file.data) -}}
  {{- else -}}
    {{- $_ := set $texts $key (toPrettyJson ($file.data | default dict)) -}}
  {{- end -}}
  {{- end -}}
{{- end -}}
{{- with $texts }}
stringData:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $binaries }}
data:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The volume of extraFiles, as a JSON list of one or none. Takes [files, name of the Secret]. */}}
{{- define "carrel.filesVolumes" -}}
{{- $items := list -}}
{{- range $key, $file := index . 0 -}}
  {{- if and (kindIs "map" $file) $file.mountPath -}}
    {{- $item := dict "key" $key "path" $key -}}
    {{- if not (kindIs "invalid" $file.mode) -}}{{- $_ := set $item "mode" $file.mode -}}{{- end -}}
    {{- $items = append $items $item -}}
  {{- end -}}
{{- end -}}
{{- $volumes := list -}}
{{- if $items -}}
  {{- $volumes = list (dict "name" "files" "secret" (dict "secretName" (index . 1) "items" $items)) -}}
{{- end -}}
{{- toJson $volumes -}}
{{- end }}

{{/* Where they are mounted, as a JSON list; one without mountPath is in the Secret only. */}}
{{- define "carrel.filesMounts" -}}
{{- $mounts := list -}}
{{- range $key, $file := . -}}
  {{- if and (kindIs "map" $file) $file.mountPath -}}
    {{- $mounts = append $mounts (dict "name" "files" "mountPath" $file.mountPath "subPath" $key) -}}
  {{- end -}}
{{- end -}}
{{- toJson $mounts -}}
{{- end }}
