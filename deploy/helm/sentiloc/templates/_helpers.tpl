{{- define "sentiloc.pod" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
automountServiceAccountToken: false
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
