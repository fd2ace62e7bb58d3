{{/* Rules of egress that values switch on by name. */}}
{{- define "carrel.egress" -}}
{{- $private := list "10.0.0.0/8" "172.16.0.0/12" "192.168.0.0/16" -}}
{{- $metadata := "169.254.169.254/32" -}}
{{- with .egressAllowRules }}
{{- if .dns }}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end }}
{{- if .nonPrivateIPs }}
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except: {{ append $private $metadata | toJson }}
{{- end }}
{{- if .privateIPs }}
- to:
    {{- range $private }}
    - ipBlock:
        cidr: {{ . }}
    {{- end }}
{{- end }}
{{- if .cloudMetadataServer }}
- to:
    - ipBlock:
        cidr: {{ $metadata }}
{{- end }}
{{- end }}
{{- with include "carrel.list" .egress | fromJsonArray }}
{{ toYaml . }}
{{- end }}
{{- end }}
