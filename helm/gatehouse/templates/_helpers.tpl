{{/* Names are fixed, not made of the release's: the configuration names them, and a namespace holds one cluster. */}}

{{/* Takes {root, part}. */}}
{{- define "gatehouse.selector" -}}
app.kubernetes.io/name: gatehouse
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "gatehouse.labels" -}}
{{ include "gatehouse.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{/* Takes {root, service: auth-service}. */}}
{{- define "gatehouse.image" -}}
{{ .root.Values.image.repository }}/{{ .service }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* The file that a service reads: its own keys over those that all share, and nothing else. */}}
{{- define "gatehouse.config" -}}
{{ toYaml (mergeOverwrite (deepCopy .root.Values.config) (deepCopy (index .root.Values .part).config)) }}
{{- end }}

{{- define "gatehouse.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "gatehouse.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Takes {root, part}. A service sees its own join secret; auth-service sees all, and the key-encryption key. */}}
{{- define "gatehouse.secretVolumes" -}}
- name: gatehouse-secrets
  secret:
    secretName: {{ .root.Values.secrets.name }}
    defaultMode: 0440
    items:
      {{- if eq .part "auth" }}
      - {key: kek, path: kek}
      - {key: join-proxy, path: join-proxy}
      - {key: join-tunnel, path: join-tunnel}
      - {key: join-audit, path: join-audit}
      {{- else }}
      - {key: join-{{ .part }}, path: join-{{ .part }}}
      {{- end }}
{{- end }}

{{/* Secrets of the installer's own, as folders under /run/secrets. */}}
{{- define "gatehouse.givenVolumes" -}}
{{- range $folder, $secret := (index .root.Values .part).secretMounts }}
- name: secret-{{ $folder }}
  secret: {secretName: {{ $secret }}, defaultMode: 0440}
{{- end }}
{{- end }}

{{- define "gatehouse.givenMounts" -}}
{{- range $folder, $secret := (index .root.Values .part).secretMounts }}
- {name: secret-{{ $folder }}, mountPath: /run/secrets/{{ $folder }}, readOnly: true}
{{- end }}
{{- end }}

{{/* A service's ConfigMap, Deployment or StatefulSet, disruption budget and autoscaler. Takes {root, part, ports: {name: number}, stateful, claims}. */}}
{{- define "gatehouse.workload" -}}
{{- $values := index .root.Values .part }}
{{- $name := printf "gatehouse-%s" .part }}
{{- $autoscaling := $values.autoscaling }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $name }}
  labels:
    {{- include "gatehouse.labels" . | nindent 4 }}
data:
  config.yaml: |
    {{- include "gatehouse.config" . | nindent 4 }}
---
apiVersion: apps/v1
kind: {{ ternary "StatefulSet" "Deployment" .stateful }}
metadata:
  name: {{ $name }}
  labels:
    {{- include "gatehouse.labels" . | nindent 4 }}
spec:
  {{- if not $autoscaling }}
  replicas: {{ $values.replicas }}
  {{- end }}
  {{- if .stateful }}
  serviceName: {{ $name }}
  podManagementPolicy: Parallel
  {{- else if and (eq .part "audit") (not (has "ReadWriteMany" $values.recordings.accessModes)) }}
  # One node at a time has the volume: beside the old pod a new one on another node would never start.
  strategy: {type: Recreate}
  {{- else }}
  strategy:
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  {{- end }}
  selector:
    matchLabels:
      {{- include "gatehouse.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "gatehouse.labels" . | nindent 8 }}
      annotations:
        # A service reads its file when it starts.
        checksum/config: {{ include "gatehouse.config" . | sha256sum }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
      {{- with .root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- include "gatehouse.podSecurity" . | nindent 8 }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "gatehouse.selector" . | nindent 14 }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .part }}
          image: {{ include "gatehouse.image" (dict "root" .root "service" (printf "%s-service" .part)) }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          {{- with $values.env }}
          env:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            {{- range $port, $number := .ports }}
            - {name: {{ $port }}, containerPort: {{ $number }}}
            {{- end }}
            - {name: metrics, containerPort: 9440}
          startupProbe:
            httpGet: {path: /healthz, port: metrics}
            periodSeconds: 2
            failureThreshold: 90
          livenessProbe:
            httpGet: {path: /healthz, port: metrics}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet: {path: /readyz, port: metrics}
            periodSeconds: 3
            timeoutSeconds: 3
            failureThreshold: 1
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            {{- include "gatehouse.containerSecurity" . | nindent 12 }}
          volumeMounts:
            - {name: config, mountPath: /etc/gatehouse, readOnly: true}
            - {name: state, mountPath: /var/lib/gatehouse}
            - {name: tmp, mountPath: /tmp}
            {{- if eq .part "audit" }}
            - {name: recordings, mountPath: /var/lib/gatehouse-recordings}
            {{- end }}
            - {name: gatehouse-secrets, mountPath: /run/secrets/gatehouse, readOnly: true}
            {{- include "gatehouse.givenMounts" . | indent 12 }}
      volumes:
        - name: config
          configMap: {name: {{ $name }}}
        - name: tmp
          emptyDir: {sizeLimit: 64Mi}
        {{- if not .persistent }}
        - name: state
          emptyDir: {}
        {{- end }}
        {{- if eq .part "audit" }}
        - name: recordings
          persistentVolumeClaim: {claimName: {{ $values.recordings.existingClaim | default "gatehouse-recordings" }}}
        {{- end }}
        {{- include "gatehouse.secretVolumes" . | nindent 8 }}
        {{- include "gatehouse.givenVolumes" . | indent 8 }}
  {{- if .persistent }}
  volumeClaimTemplates:
    - metadata:
        name: state
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $values.spool.storageClassName }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests: {storage: {{ $values.spool.size }}}
  {{- end }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  labels:
    {{- include "gatehouse.labels" . | nindent 4 }}
spec:
  {{- toYaml $values.podDisruptionBudget | nindent 2 }}
  selector:
    matchLabels:
      {{- include "gatehouse.selector" . | nindent 6 }}
{{- with $autoscaling }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $name }}
  labels:
    {{- include "gatehouse.labels" $ | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: {{ ternary "StatefulSet" "Deployment" $.stateful }}, name: {{ $name }}}
  minReplicas: {{ .min }}
  maxReplicas: {{ .max }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ .cpu }}}
{{- end }}
{{- end }}
