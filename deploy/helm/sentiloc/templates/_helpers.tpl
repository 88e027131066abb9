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
