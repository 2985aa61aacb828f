{{- define "trimtab.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* (dict "root" $ "part" "controller"): what selects a part's pods; never changes. */ -}}
{{- define "trimtab.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "trimtab.labels" -}}
{{ include "trimtab.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: trimtab
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* (dict "root" $ "part" "controller"): its image. A name with its own tag or digest is taken as it is. */ -}}
{{- define "trimtab.image" -}}
{{- $name := get .root.Values.images .part -}}
{{- with .root.Values.images.registry }}{{ $name = printf "%s/%s" (trimSuffix "/" .) $name }}{{ end -}}
{{- if or (contains "@" $name) (contains ":" (last (splitList "/" $name))) -}}
{{- $name -}}
{{- else -}}
{{- printf "%s:%s" $name (default .root.Chart.AppVersion .root.Values.images.tag) -}}
{{- end -}}
{{- end -}}

{{- define "trimtab.trackingUri" -}}
{{- if and .Values.tracking.uri .Values.mlflow.enabled -}}
{{- fail "tracking.uri names an MLflow server, and mlflow.enabled installs another one: set mlflow.enabled=false, or leave tracking.uri empty" -}}
{{- else if .Values.tracking.uri -}}
{{- .Values.tracking.uri -}}
{{- else if .Values.mlflow.enabled -}}
{{- printf "http://%s-mlflow.%s.svc:5000" (include "trimtab.fullname" .) .Release.Namespace -}}
{{- else -}}
{{- fail "there is no MLflow: set tracking.uri to your server's address, or mlflow.enabled=true for the chart's own" -}}
{{- end -}}
{{- end -}}

{{- /* The port that a URL names, or that its scheme means. */ -}}
{{- define "trimtab.port" -}}
{{- $url := urlParse . -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end -}}

{{- /* How the controller makes training runs (trimtab/platforms/kubernetes/runs.py): two parts of the values as they are. */ -}}
{{- define "trimtab.runs" -}}
{{- $image := dict "image" (include "trimtab.image" (dict "root" . "part" "training")) "imagePullPolicy" .Values.images.pullPolicy -}}
{{- $shared := dict "imagePullSecrets" .Values.imagePullSecrets -}}
{{- toYaml (dict "training" (merge $image $shared .Values.training) "kfp" .Values.kfp) -}}
{{- end -}}

{{- define "trimtab.signingSecret" -}}
{{- default (printf "%s-signing" (include "trimtab.fullname" .)) .Values.signing.existingSecret -}}
{{- end -}}

{{- /* Key and certificate, as YAML {key, certificate}: those that are there, else new ones, made once in a rendering. The key is empty
where the Secret is somebody else's. */ -}}
{{- define "trimtab.signing" -}}
{{- if not (hasKey .Values.signing "made") -}}
{{- $made := dict "key" "" "certificate" .Values.signing.certificate -}}
{{- $secret := lookup "v1" "Secret" .Release.Namespace (include "trimtab.signingSecret" .) -}}
{{- $kept := and $secret (hasKey $secret "data") (hasKey $secret.data "tls.crt") -}}
{{- if .Values.signing.existingSecret -}}
{{- if and $kept (not .Values.signing.certificate) -}}
{{- $_ := set $made "certificate" (index $secret.data "tls.crt" | b64dec) -}}
{{- end -}}
{{- else if $kept -}}
{{- $made = dict "key" (index $secret.data "tls.key" | b64dec) "certificate" (index $secret.data "tls.crt" | b64dec) -}}
{{- else -}}
{{- $key := genPrivateKey "ecdsa" -}}
{{- $pair := genSelfSignedCertWithKey "trimtab-signing" nil nil (int .Values.signing.days) $key -}}
{{- $made = dict "key" $pair.Key "certificate" $pair.Cert -}}
{{- end -}}
{{- if and .Values.serving.enabled (not $made.certificate) -}}
{{- fail (printf "the certificate of signing.existingSecret %q cannot be found in namespace %q: create the Secret with tls.key and tls.crt first, or give signing.certificate" .Values.signing.existingSecret .Release.Namespace) -}}
{{- end -}}
{{- $_ := set .Values.signing "made" $made -}}
{{- end -}}
{{- toYaml .Values.signing.made -}}
{{- end -}}

{{- /* The webhook, for the two parts that tell it something. */ -}}
{{- define "trimtab.notifyArguments" -}}
{{- with .Values.notifications }}
{{- if .url -}}
- --notify-url={{ .url }}
{{- if .existingSecret }}
- --notify-token-file=/etc/trimtab/notifications/token
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "trimtab.notifyMount" -}}
{{- if and .Values.notifications.url .Values.notifications.existingSecret -}}
- {name: notifications, mountPath: /etc/trimtab/notifications, readOnly: true}
{{- end -}}
{{- end -}}

{{- define "trimtab.notifyVolume" -}}
{{- with .Values.notifications }}
{{- if and .url .existingSecret -}}
- name: notifications
  secret: {secretName: {{ .existingSecret }}, items: [{key: {{ .key }}, path: token}], defaultMode: 0440}
{{- end }}
{{- end }}
{{- end -}}

{{- /* (dict "root" $ "part" "controller"): a part's name. */ -}}
{{- define "trimtab.name" -}}
{{- printf "%s-%s" (include "trimtab.fullname" .root) .part -}}
{{- end -}}

{{- define "trimtab.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "trimtab.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- /* (dict "root" $ "part" "controller"): where and as what a part's pods run; its values are those of its name. */ -}}
{{- define "trimtab.scheduling" -}}
{{- $values := get .root.Values .part -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* (dict "root" $ "part" "controller" "annotations" MORE): labels and annotations of a part's pods. */ -}}
{{- define "trimtab.podMetadata" -}}
{{- $values := get .root.Values .part -}}
labels:
  {{- include "trimtab.labels" . | nindent 2 }}
  {{- with $values.podLabels }}{{ toYaml . | nindent 2 }}{{ end }}
{{- with merge (dict) (default (dict) .annotations) $values.podAnnotations }}
annotations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* (dict "root" $ "part" "controller" "role" NAME): the ClusterRole for a part's ServiceAccount, everywhere or in the watched namespaces. */ -}}
{{- define "trimtab.bind" -}}
{{- $root := .root -}}{{- $part := .part -}}{{- $role := .role -}}{{- $annotations := .annotations -}}
{{- range (default (list "") $root.Values.watch.namespaces) }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "RoleBinding" "ClusterRoleBinding" (ne . "") }}
metadata:
  name: {{ $role }}
  {{- with . }}
  namespace: {{ . }}
  {{- end }}
  labels: {{ include "trimtab.labels" (dict "root" $root "part" $part) | nindent 4 }}
  {{- with $annotations }}
  annotations: {{ toYaml . | nindent 4 }}
  {{- end }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ $role }}}
subjects:
  - {kind: ServiceAccount, name: {{ include "trimtab.name" (dict "root" $root "part" $part) }}, namespace: {{ $root.Release.Namespace }}}
{{- end }}
{{- end -}}
