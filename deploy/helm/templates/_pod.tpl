{{- define "rollcall.podTemplate" -}}
metadata:
  labels:
    {{- include "rollcall.labels" . | nindent 4 }}
    {{- with .Values.pod.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or (not .Values.configReloader.enabled) .Values.podAnnotations }}
  annotations:
    {{- if not .Values.configReloader.enabled }}
    checksum/config: {{ toYaml .Values.config | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  automountServiceAccountToken: {{ .Values.automountServiceAccountToken }}
  serviceAccountName: {{ include "rollcall.serviceAccountName" . }}
  restartPolicy: {{ .Values.restartPolicy }}
  terminationGracePeriodSeconds: 60
  hostNetwork: {{ .Values.hostNetwork }}
  {{- with .Values.dnsPolicy }}
  dnsPolicy: {{ . }}
  {{- end }}
  {{- with .Values.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.hostAliases }}
  hostAliases:
    {{- range . }}
    - ip: {{ .ip | quote }}
      hostnames:
        {{- toYaml .hostNames | nindent 8 }}
    {{- end }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with .Values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.extraInitContainers }}
  initContainers:
    {{- include "rollcall.listOrText" (dict "value" . "root" $) | nindent 4 }}
  {{- end }}
  containers:
    - name: rollcall
      {{- include "rollcall.container" . | nindent 6 }}
    {{- with .Values.extraContainers }}
    {{- include "rollcall.listOrText" (dict "value" . "root" $) | nindent 4 }}
    {{- end }}
  volumes:
    {{- if ne .Values.kind "StatefulSet" }}
    - name: rollcall
      emptyDir: {}
    {{- end }}
    {{- with include "rollcall.configVolume" . }}
    - name: config
      {{- . | trim | nindent 6 }}
    {{- end }}
    {{- range .Values.extraConfigmapMounts }}
    - name: {{ .name }}
      configMap:
        name: {{ .configMap }}
        {{- with .defaultMode }}
        defaultMode: {{ . }}
        {{- end }}
    {{- end }}
    {{- range .Values.extraSecretMounts }}
    - name: {{ .name }}
      secret:
        secretName: {{ .secretName }}
        {{- with .defaultMode }}
        defaultMode: {{ . }}
        {{- end }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "rollcall.container" -}}
image: {{ include "rollcall.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
args:
  {{- if .Values.configPath }}
  - --config.file={{ .Values.configPath }}
  {{- else if include "rollcall.configVolume" . }}
  - --config.file=/config/blackbox.yaml
  {{- end }}
  - --storage.path=/data
  {{- if .Values.configReloader.enabled }}
  - --config.enable-auto-reload
  - --config.auto-reload-interval={{ .Values.configReloader.config.watchInterval }}
  {{- end }}
  {{- with .Values.extraArgs }}
  {{- tpl (toYaml .) $ | nindent 2 }}
  {{- end }}
{{- if or (eq .Values.kind "StatefulSet") .Values.extraEnv }}
env:
  {{- if eq .Values.kind "StatefulSet" }}
  # The pod's name ends with its number, which is that of its shard.
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  - name: ROLLCALL_SHARD
    value: "$(POD_NAME)/{{ .Values.replicas }}"
  - name: ROLLCALL_SHARD_REPLICAS
    value: {{ .Values.shardReplicas | quote }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: http
    containerPort: {{ .Values.containerPort }}
    {{- with .Values.hostPort }}
    hostPort: {{ . }}
    {{- end }}
livenessProbe:
  {{- toYaml .Values.livenessProbe | nindent 2 }}
readinessProbe:
  {{- toYaml .Values.readinessProbe | nindent 2 }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: rollcall
    mountPath: /data
  {{- if include "rollcall.configVolume" . }}
  - name: config
    mountPath: /config
    readOnly: true
  {{- end }}
  {{- range concat .Values.extraConfigmapMounts .Values.extraSecretMounts }}
  - name: {{ .name }}
    mountPath: {{ .mountPath }}
    {{- with .subPath }}
    subPath: {{ . }}
    {{- end }}
    readOnly: {{ .readOnly | default false }}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
