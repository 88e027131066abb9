{{- define "sentiloc.pod" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
automountServiceAccountToken: false
  {{- if .Values.image.pullSecrets }}
imagePullSecrets:
    {{- range $index, $name := .Values.image.pullSecrets }}
  - {name: {{ $name }}}
    {{- end }}
  {{- end }}
# Without this, a release named sentiloc would give its pods variables such as SENTILOC_API_PORT, which are not settings.
enableServiceLinks: false
{{- end }}

{{- define "sentiloc.container" -}}
securityContext:
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "sentiloc.settings" -}}
envFrom:
  - secretRef: {name: {{ .Values.secret }}}
  - configMapRef: {name: {{ .Release.Name }}-settings}
{{- end }}

{{- /* The settings as a ConfigMap's data: those of the chart, and those that are given, which take precedence. Not by
`merge`, which takes an empty or false value for one that is not given. */}}
{{- define "sentiloc.data" -}}
  {{- $all := include "sentiloc.defaults" . | fromYaml }}
  {{- range $name, $value := .Values.settings }}
    {{- $_ := set $all $name $value }}
  {{- end }}
  {{- range $name, $value := $all }}
{{ $name }}: {{ include "sentiloc.value" $value }}
  {{- end }}
{{- end }}

{{- define "sentiloc.defaults" -}}
SENTILOC_DATA_DIR: /data
SENTILOC_LOG_FORMAT: json
SENTILOC_STORAGE_URL: {{ .Values.storage.url | quote }}
  {{- if .Values.storage.endpoint }}
SENTILOC_STORAGE_ENDPOINT: {{ .Values.storage.endpoint | quote }}
  {{- end }}
  {{- if .Values.storage.publicEndpoint }}
SENTILOC_STORAGE_PUBLIC_ENDPOINT: {{ .Values.storage.publicEndpoint | quote }}
  {{- end }}
{{- end }}

{{- /* Lists as JSON. Whole numbers without an exponent: Helm reads them as floats, and Go writes large ones as 1e+06. */}}
{{- define "sentiloc.value" -}}
  {{- if or (kindIs "slice" .) (kindIs "map" .) }}
    {{- toJson . | quote }}
  {{- else if and (kindIs "float64" .) (eq (floor .) .) }}
    {{- printf "%.0f" . | quote }}
  {{- else }}
    {{- quote . }}
  {{- end }}
{{- end }}

{{- /* Of the ingress, as nginx's controller reads them. */}}
{{- define "sentiloc.annotations" -}}
nginx.ingress.kubernetes.io/proxy-body-size: "0"
nginx.ingress.kubernetes.io/proxy-request-buffering: "off"
nginx.ingress.kubernetes.io/proxy-buffering: "off"
nginx.ingress.kubernetes.io/affinity: cookie
{{- end }}

{{- define "sentiloc.egress" -}}
  {{- if .Values.networkPolicy.egress }}
policyTypes: [Ingress, Egress]
egress:
  {{- toYaml .Values.networkPolicy.egress | nindent 2 }}
  {{- else }}
policyTypes: [Ingress]
  {{- end }}
{{- end }}
