{{- define "sentiloc.pod" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
automountServiceAccountToken: false
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

{{- /* The settings as a ConfigMap's data. */}}
{{- define "sentiloc.data" -}}
SENTILOC_DATA_DIR: /data
SENTILOC_LOG_FORMAT: json
SENTILOC_STORAGE_URL: {{ .Values.storage.url | quote }}
  {{- if .Values.storage.endpoint }}
SENTILOC_STORAGE_ENDPOINT: {{ .Values.storage.endpoint | quote }}
  {{- end }}
  {{- if .Values.storage.publicEndpoint }}
SENTILOC_STORAGE_PUBLIC_ENDPOINT: {{ .Values.storage.publicEndpoint | quote }}
  {{- end }}
  {{- range $name, $value := .Values.settings }}
{{ $name }}: {{ include "sentiloc.value" $value }}
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
