// Generated from schemas/ by `npm run generate`. Do not edit.
import type { ObjectMeta } from '../meta.ts';
/**
 * The latest observations of the state of the object.
 */
export type Conditions = Condition[];

/**
 * One aspect of the state of an object, as in metav1.Condition.
 */
export interface Condition {
  /**
   * The aspect, in CamelCase, such as Ready.
   */
  type: string;
  /**
   * Whether the aspect holds.
   */
  status: 'True' | 'False' | 'Unknown';
  /**
   * The metadata.generation that the condition was set upon.
   */
  observedGeneration?: number;
  /**
   * When the status last changed from one value to another.
   */
  lastTransitionTime: string;
  /**
   * Why, as one CamelCase word that programs can rely upon.
   */
  reason: string;
  /**
   * Why, for a person: what was wrong, where, and what to do.
   */
  message: string;
}
/**
 * An object of a known kind.
 */
export interface ObjectReference {
  /**
   * Namespace of the object. The namespace of the referring object when empty.
   */
  namespace?: string;
  /**
   * Name of the object.
   */
  name: string;
}
/**
 * An object of a known kind in the same namespace.
 */
export interface LocalReference {
  /**
   * Name of the object.
   */
  name: string;
}
/**
 * An object of any kind.
 */
export interface TypedReference {
  /**
   * API group of the object, such as backstay.dev.
   */
  apiGroup?: string;
  /**
   * Kind of the object, such as AppBinding.
   */
  kind: string;
  /**
   * Namespace of the object. The namespace of the referring object when empty.
   */
  namespace?: string;
  /**
   * Name of the object.
   */
  name: string;
}
/**
 * The database: an AppBinding of backstay.dev or of appcatalog.appscode.com, or a MongoDB of kubedb.com (whose AppBinding has the same name).
 */
export interface Target {
  /**
   * API group of the target.
   */
  apiGroup?: 'backstay.dev' | 'appcatalog.appscode.com' | 'kubedb.com';
  /**
   * Kind of the target.
   */
  kind?: 'AppBinding' | 'MongoDB';
  /**
   * Namespace of the target. The namespace of the referring object when empty.
   */
  namespace?: string;
  /**
   * Name of the target.
   */
  name: string;
}
/**
 * Which objects are meant, by their labels. Every requirement must hold.
 */
export interface LabelSelector {
  /**
   * Labels with exactly these values.
   */
  matchLabels?: Record<string, string>;
  /**
   * Requirements on labels.
   */
  matchExpressions?: LabelSelectorMatchExpression[];
}
/**
 * A requirement on one label.
 */
export interface LabelSelectorMatchExpression {
  /**
   * The label.
   */
  key: string;
  /**
   * How the label relates to the values.
   */
  operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  /**
   * The values, for In and NotIn.
   */
  values?: string[];
}
/**
 * From which namespaces the object may be referred to.
 */
export interface UsagePolicy {
  allowedNamespaces?: UsagePolicyAllowedNamespaces;
}
/**
 * The namespaces that may refer to the object.
 */
export interface UsagePolicyAllowedNamespaces {
  /**
   * Same: only the namespace of the object. All: every namespace. Selector: the namespaces that the selector chooses.
   */
  from?: 'Same' | 'All' | 'Selector';
  /**
   * The namespaces meant by Selector, by their labels.
   */
  selector?: LabelSelector;
}
/**
 * How often a failed session is tried again.
 */
export interface RetryConfig {
  /**
   * How many times a failed session is tried again.
   */
  maxRetry?: number;
  /**
   * How long to wait before the next try, such as 5m.
   */
  delay?: string;
}
/**
 * Settings of the container that does the work.
 */
export interface ContainerSettings {
  /**
   * Compute resources of the container: limits and requests, as in a Pod.
   */
  resources?: Record<string, unknown>;
  /**
   * Further environment variables of the container.
   */
  env?: ContainerSettingsEnv[];
  /**
   * Security context of the container, as in a Pod. The restricted Pod Security Standard is met without it.
   */
  securityContext?: Record<string, unknown>;
}
/**
 * An environment variable.
 */
export interface ContainerSettingsEnv {
  /**
   * Name of the variable.
   */
  name: string;
  /**
   * Value of the variable.
   */
  value?: string;
  /**
   * Where the value comes from, as in a Pod.
   */
  valueFrom?: Record<string, unknown>;
}
/**
 * What is laid over the Pod that Backstay makes: metadata and a partial Pod spec (serviceAccountName excepted).
 */
export interface PodTemplate {
  metadata?: PodTemplateMetadata;
  /**
   * A partial Pod spec: nodeSelector, affinity, tolerations, priorityClassName, imagePullSecrets, securityContext, hostNetwork and so on.
   */
  spec?: Record<string, unknown>;
}
/**
 * Labels and annotations of the Pod.
 */
export interface PodTemplateMetadata {
  /**
   * Further labels of the Pod.
   */
  labels?: Record<string, string>;
  /**
   * Further annotations of the Pod.
   */
  annotations?: Record<string, string>;
}
/**
 * A task of the Addon with its parameters.
 */
export interface AddonTask {
  /**
   * Name of the task, as the Addon has it.
   */
  name: string;
  /**
   * Parameters of the task, as the Addon declares them: names with text, whole numbers, true or false.
   */
  params?: Record<string, unknown>;
}
/**
 * The Addon that does the work, its task and the settings of its Pod.
 */
export interface AddonUse {
  /**
   * Name of the Addon.
   */
  name: string;
  /**
   * The task to run, with its parameters.
   */
  tasks: AddonTask[];
  containerRuntimeSettings?: ContainerSettings;
  jobTemplate?: PodTemplate;
}
/**
 * Tasks that back up and restore one kind of database.
 */
export interface Addon {
  apiVersion: 'backstay.dev/v1alpha1';
  kind: 'Addon';
  metadata: ObjectMeta;
  spec: AddonSpec;
}
/**
 * What is wanted.
 */
export interface AddonSpec {
  /**
   * Tasks that back up.
   */
  backupTasks?: AddonBackupTask[];
  /**
   * Tasks that restore.
   */
  restoreTasks?: AddonRestoreTask[];
}
/**
 * A backup task.
 */
export interface AddonBackupTask {
  /**
   * Name of the task.
   */
  name: string;
  /**
   * The Function that runs it.
   */
  function: string;
  /**
   * What keeps the data.
   */
  driver?: 'Restic';
  /**
   * What runs the Function.
   */
  executor?: 'Job';
  /**
   * Whether one Job does it for the whole target.
   */
  singleton?: boolean;
  /**
   * Parameters of the task.
   */
  parameters?: AddonBackupTaskParameter[];
}
/**
 * A parameter.
 */
export interface AddonBackupTaskParameter {
  /**
   * Name of the parameter.
   */
  name: string;
  /**
   * What it does.
   */
  usage?: string;
  /**
   * What it holds.
   */
  type?: 'string' | 'integer' | 'boolean' | 'duration';
  /**
   * Whether it must be given.
   */
  required?: boolean;
  /**
   * What it is when it is not given, as text.
   */
  default?: string;
  /**
   * The only values it may have.
   */
  enum?: string[];
}
/**
 * A restore task.
 */
export interface AddonRestoreTask {
  /**
   * Name of the task.
   */
  name: string;
  /**
   * The Function that runs it.
   */
  function: string;
  /**
   * What keeps the data.
   */
  driver?: 'Restic';
  /**
   * What runs the Function.
   */
  executor?: 'Job';
  /**
   * Whether one Job does it for the whole target.
   */
  singleton?: boolean;
  /**
   * Parameters of the task.
   */
  parameters?: AddonRestoreTaskParameter[];
}
/**
 * A parameter.
 */
export interface AddonRestoreTaskParameter {
  /**
   * Name of the parameter.
   */
  name: string;
  /**
   * What it does.
   */
  usage?: string;
  /**
   * What it holds.
   */
  type?: 'string' | 'integer' | 'boolean' | 'duration';
  /**
   * Whether it must be given.
   */
  required?: boolean;
  /**
   * What it is when it is not given, as text.
   */
  default?: string;
  /**
   * The only values it may have.
   */
  enum?: string[];
}
/**
 * How to reach a MongoDB.
 */
export interface AppBinding {
  apiVersion: 'backstay.dev/v1alpha1';
  kind: 'AppBinding';
  metadata: ObjectMeta;
  spec: AppBindingSpec;
}
/**
 * What is wanted.
 */
export interface AppBindingSpec {
  /**
   * Kind of the application.
   */
  type?: string;
  /**
   * Version of the server.
   */
  version?: string;
  /**
   * The object that stands for the database.
   */
  appRef?: TypedReference;
  clientConfig: AppBindingClientConfig;
  /**
   * Secret with username and password, and optionally authSource and authMechanism. No authentication when it and tlsSecret are left out.
   */
  secret?: LocalReference;
  /**
   * How keys of the Secret are named otherwise.
   */
  secretTransforms?: AppBindingSecretTransform[];
  /**
   * Secret with the certificate of the client: client.pem, or tls.crt and tls.key. Authentication is by x509 when there is no secret.
   */
  tlsSecret?: LocalReference;
  parameters?: AppBindingParameters;
}
/**
 * Where the database is: exactly one of url and service.
 */
export interface AppBindingClientConfig {
  /**
   * Connection string without credentials, such as mongodb://a:27017,b:27017/?replicaSet=rs0.
   */
  url?: string;
  service?: AppBindingClientConfigService;
  /**
   * Certificate authorities that the server is verified with, as PEM in base64. TLS is used when it is there.
   */
  caBundle?: string;
  /**
   * Whether TLS is used also without a caBundle, verified with the authorities of the system.
   */
  tls?: boolean;
  /**
   * Whether the certificate of the server goes unverified. Never in production.
   */
  insecureSkipTLSVerify?: boolean;
  /**
   * Name that the certificate of the server is verified for.
   */
  serverName?: string;
}
/**
 * A Service of the cluster.
 */
export interface AppBindingClientConfigService {
  /**
   * Scheme of the connection.
   */
  scheme?: 'mongodb' | 'mongodb+srv';
  /**
   * Namespace of the Service. That of the AppBinding when empty.
   */
  namespace?: string;
  /**
   * Name of the Service.
   */
  name: string;
  /**
   * Port of the Service.
   */
  port?: number;
  /**
   * Path of the connection string: the database.
   */
  path?: string;
  /**
   * Options of the connection string, without the question mark.
   */
  query?: string;
}
/**
 * A key with another name.
 */
export interface AppBindingSecretTransform {
  renameKey: AppBindingSecretTransformRenameKey;
}
/**
 * A key with another name.
 */
export interface AppBindingSecretTransformRenameKey {
  /**
   * The key in the Secret.
   */
  from: string;
  /**
   * The key that is looked for.
   */
  to: string;
}
/**
 * The members of a cluster, when they cannot be read from it.
 */
export interface AppBindingParameters {
  /**
   * API version of the parameters.
   */
  apiVersion?: string;
  /**
   * Kind of the parameters.
   */
  kind?: string;
  /**
   * The replica sets: of a replica set one, of a sharded cluster one for each shard, as rs0/a:27017,b:27017.
   */
  replicaSets?: Record<string, string>;
  /**
   * The config server of a sharded cluster, as cfg/a:27019,b:27019.
   */
  configServer?: string;
}
/**
 * What is backed up, when, where to and for how long: the policy.
 */
export interface BackupConfiguration {
  apiVersion: 'backstay.dev/v1alpha1';
  kind: 'BackupConfiguration';
  metadata: ObjectMeta;
  spec: BackupConfigurationSpec;
  status?: BackupConfigurationStatus;
}
/**
 * What is wanted.
 */
export interface BackupConfigurationSpec {
  /**
   * The database to back up.
   */
  target: Target;
  /**
   * The storages that sessions write to.
   */
  backends?: BackupConfigurationBackend[];
  /**
   * When backups are taken.
   */
  sessions: BackupConfigurationSession[];
  /**
   * Whether all sessions rest.
   */
  paused?: boolean;
}
/**
 * A storage and how long Snapshots stay in it.
 */
export interface BackupConfigurationBackend {
  /**
   * Name of the backend inside the configuration.
   */
  name: string;
  /**
   * The BackupStorage. The default one of the namespace when the whole list is left out.
   */
  storageRef: ObjectReference;
  /**
   * The RetentionPolicy. The default one of the namespace when left out; without any, Snapshots are kept for ever.
   */
  retentionPolicy?: ObjectReference;
}
/**
 * A schedule and what it runs.
 */
export interface BackupConfigurationSession {
  /**
   * Name of the session inside the configuration.
   */
  name: string;
  scheduler: BackupConfigurationSessionScheduler;
  addon: AddonUse;
  /**
   * The repositories that the session writes to. The database is read once, whatever their number.
   */
  repositories: BackupConfigurationSessionRepository[];
  retryConfig?: RetryConfig;
  /**
   * How long the session may take before it is stopped and failed, such as 2h.
   */
  backupTimeout?: string;
  /**
   * How many ended BackupSessions of each outcome are kept.
   */
  sessionHistoryLimit?: number;
}
/**
 * When the session runs.
 */
export interface BackupConfigurationSessionScheduler {
  /**
   * Time in cron format, as a CronJob reads it: five fields, or @hourly, @daily, @weekly, @monthly, @yearly, @every 6h.
   */
  schedule: string;
  /**
   * Time zone of the schedule by its IANA name, such as Europe/Berlin. UTC when empty.
   */
  timeZone?: string;
  /**
   * How late a session may still start, in seconds.
   */
  startingDeadlineSeconds?: number;
  /**
   * What happens when the trigger of the last run still goes on. Sessions of one configuration never overlap either way.
   */
  concurrencyPolicy?: 'Allow' | 'Forbid' | 'Replace';
  /**
   * Whether the schedule rests.
   */
  suspend?: boolean;
  /**
   * How many finished trigger Jobs are kept.
   */
  successfulJobsHistoryLimit?: number;
  /**
   * How many failed trigger Jobs are kept.
   */
  failedJobsHistoryLimit?: number;
  /**
   * What is laid over the Pod that triggers the session.
   */
  jobTemplate?: PodTemplate;
}
/**
 * A repository of the session.
 */
export interface BackupConfigurationSessionRepository {
  /**
   * Name of the Repository.
   */
  name: string;
  /**
   * The backend, by its name in this configuration.
   */
  backend: string;
  /**
   * Folder of the repository below the prefix of the storage.
   */
  directory: string;
  /**
   * Secret with RESTIC_PASSWORD, the password of the repository. Keep a copy: without it no backup can be read.
   */
  encryptionSecret: ObjectReference;
  /**
   * What happens to the Repository when the configuration is deleted. Retain: it stays. Delete: the object goes, the data stays. WipeOut: the data goes too.
   */
  deletionPolicy?: 'Retain' | 'Delete' | 'WipeOut';
}
/**
 * What was observed.
 */
export interface BackupConfigurationStatus {
  /**
   * The metadata.generation that the status speaks of.
   */
  observedGeneration?: number;
  conditions?: Conditions;
  /**
   * Whether the configuration does what it says.
   */
  phase?: 'Ready' | 'NotReady' | 'Invalid';
  /**
   * Whether the target exists.
   */
  targetFound?: boolean;
  /**
   * The backends.
   */
  backends?: BackupConfigurationStatusBackend[];
  /**
   * The repositories.
   */
  repositories?: BackupConfigurationStatusRepository[];
  /**
   * The sessions.
   */
  sessions?: BackupConfigurationStatusSession[];
  /**
   * Tries that are waited for.
   */
  retry?: BackupConfigurationStatusRetry[];
}
/**
 * What was observed of a backend.
 */
export interface BackupConfigurationStatusBackend {
  /**
   * Name of the backend.
   */
  name: string;
  /**
   * Whether its storage can be used.
   */
  ready?: boolean;
  /**
   * Why it cannot.
   */
  reason?: string;
  /**
   * Why it cannot, for a person.
   */
  message?: string;
  /**
   * Whether its RetentionPolicy exists.
   */
  retentionPolicyFound?: boolean;
}
/**
 * What was observed of a repository.
 */
export interface BackupConfigurationStatusRepository {
  /**
   * Name of the Repository.
   */
  name: string;
  /**
   * Whether it can be used.
   */
  phase?: 'Ready' | 'NotReady';
  /**
   * Why it cannot.
   */
  reason?: string;
  /**
   * Why it cannot, for a person.
   */
  message?: string;
}
/**
 * What was observed of a session.
 */
export interface BackupConfigurationStatusSession {
  /**
   * Name of the session.
   */
  name: string;
  /**
   * The CronJob that triggers it.
   */
  cronJob?: string;
  /**
   * When it runs next.
   */
  nextScheduleTime?: string;
  /**
   * When it was last triggered.
   */
  lastScheduleTime?: string;
  /**
   * When it last succeeded.
   */
  lastSuccessfulTime?: string;
  /**
   * The newest BackupSession.
   */
  lastSession?: string;
  /**
   * Phase of the newest BackupSession.
   */
  lastPhase?: string;
}
/**
 * A try that is waited for.
 */
export interface BackupConfigurationStatusRetry {
  /**
   * Name of the session.
   */
  session: string;
  /**
   * The BackupSession that failed.
   */
  after?: string;
  /**
   * When it is tried again.
   */
  time?: string;
}
/**
 * What an organisation demands of backups: a rule that is refused, warned of or counted wherever it is broken.
 */
export interface BackupPolicyRule {
  apiVersion: 'backstay.dev/v1alpha1';
  kind: 'BackupPolicyRule';
  metadata: ObjectMeta;
  spec: BackupPolicyRuleSpec;
  status?: BackupPolicyRuleStatus;
}
/**
 * What is wanted.
 */
export interface BackupPolicyRuleSpec {
  /**
   * What happens to an object that breaks the rule. Deny: it is refused. Warn: it is let in with a warning. Audit: it is let in, and counted.
   */
  enforcement?: 'Deny' | 'Warn' | 'Audit';
  /**
   * What else whoever breaks the rule should know: why there is the rule, and whom to ask.
   */
  message?: string;
  match?: BackupPolicyRuleMatch;
  /**
   * What the rule does not concern.
   */
  exemptions?: BackupPolicyRuleExemption[];
  demands: BackupPolicyRuleDemands;
}
/**
 * Which objects the rule concerns: those that everything here chooses. All when left out.
 */
export interface BackupPolicyRuleMatch {
  /**
   * Kinds that the rule concerns. All that its demands speak of when left out.
   */
  kinds?: ('BackupConfiguration' | 'BackupStorage' | 'RetentionPolicy')[];
  /**
   * Labels of the namespaces that the rule concerns.
   */
  namespaceSelector?: LabelSelector;
  /**
   * Labels of the objects that the rule concerns.
   */
  objectSelector?: LabelSelector;
  /**
   * Labels of the AppBindings whose BackupConfigurations the rule concerns. It concerns no other kinds then.
   */
  targetSelector?: LabelSelector;
}
/**
 * A namespace, or one object of it.
 */
export interface BackupPolicyRuleExemption {
  /**
   * The namespace.
   */
  namespace: string;
  /**
   * Name of the objects. All of the namespace when left out.
   */
  name?: string;
  /**
   * Why, for whoever reads the rule later.
   */
  reason?: string;
}
/**
 * What is demanded; each that is given must be met.
 */
export interface BackupPolicyRuleDemands {
  /**
   * The longest time between two backups of a BackupConfiguration by its schedules, such as 24h. Neither may it be paused.
   */
  maxInterval?: string;
  /**
   * How far back the Snapshots that a RetentionPolicy keeps must reach, such as 30d.
   */
  minRetention?: string;
  /**
   * How many BackupStorages the sessions of a BackupConfiguration write to at least.
   */
  minStorages?: number;
  /**
   * The BackupStorages that may be used, as namespace/name; a * stands for any characters.
   */
  storages?: string[];
  /**
   * The Secrets that may encrypt repositories, as namespace/name; a * stands for any characters.
   */
  encryptionSecrets?: string[];
  /**
   * Whether storages must be reached by TLS, with a certificate that is verified.
   */
  encryptedTransport?: boolean;
  /**
   * The providers that storages may have.
   */
  providers?: ('s3' | 'gcs' | 'azure' | 'local')[];
  /**
   * The buckets and containers that storages may use; a * stands for any characters.
   */
  buckets?: string[];
  /**
   * The endpoints that storages of provider s3 may have, with their scheme; a * stands for any characters.
   */
  endpoints?: string[];
  /**
   * The Addons that sessions may use; a * stands for any characters.
   */
  addons?: string[];
  /**
   * The tasks that sessions may run; a * stands for any characters.
   */
  tasks?: string[];
  /**
   * The values that the parameter consistency of a task may have.
   */
  consistency?: ('lock' | 'snapshot' | 'none')[];
  /**
   * Whether storages may not be a folder of a node.
   */
  noHostPath?: boolean;
  /**
   * Whether Pods may not be on the network of their node.
   */
  noHostNetwork?: boolean;
}
/**
 * What was observed.
 */
export interface BackupPolicyRuleStatus {
  /**
   * The metadata.generation that the status speaks of.
   */
  observedGeneration?: number;
  conditions?: Conditions;
  /**
   * How many objects the rule concerns.
   */
  checked?: number;
  /**
   * How many of them break it now.
   */
  violating?: number;
  /**
   * The first of what breaks it, in the order of kind, namespace and name.
   */
  violations?: BackupPolicyRuleStatusViolation[];
}
/**
 * A demand that an object does not meet.
 */
export interface BackupPolicyRuleStatusViolation {
  /**
   * Kind of the object.
   */
  kind: string;
  /**
   * Namespace of the object.
   */
  namespace?: string;
  /**
   * Name of the object.
   */
  name: string;
  /**
   * The demand.
   */
  demand: string;
  /**
   * What is wrong.
   */
  message: string;
}
/**
 * One run of one session of a BackupConfiguration.
 */
export interface BackupSession {
  apiVersion: 'backstay.dev/v1alpha1';
  kind: 'BackupSession';
  metadata: ObjectMeta;
  spec: BackupSessionSpec;
  status?: BackupSessionStatus;
}
/**
 * What is wanted. It never changes.
 */
export interface BackupSessionSpec {
  invoker: BackupSessionInvoker;
  /**
   * Name of the session in the configuration.
   */
  session: string;
  /**
   * How many times a failure is still tried again.
   */
  retryLeft?: number;
  /**
   * How long the run may take before it is stopped and failed. What the configuration says when empty.
   */
  backupTimeout?: string;
  /**
   * The time that the schedule named for the run.
   */
  scheduledTime?: string;
}
/**
 * What asked for the run.
 */
export interface BackupSessionInvoker {
  /**
   * API group of the invoker.
   */
  apiGroup?: 'backstay.dev';
  /**
   * Kind of the invoker.
   */
  kind?: 'BackupConfiguration';
  /**
   * Name of the invoker.
   */
  name: string;
}
/**
 * What was observed.
 */
export interface BackupSessionStatus {
  /**
   * The metadata.generation that the status speaks of.
   */
  observedGeneration?: number;
  conditions?: Conditions;
  /**
   * Where the run stands.
   */
  phase?: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Skipped';
  /**
   * When the run started.
   */
  startTime?: string;
  /**
   * When the run ended.
   */
  completionTime?: string;
  /**
   * How long the run took, in seconds.
   */
  durationSeconds?: number;
  /**
   * When the run is stopped and failed.
   */
  backupDeadline?: string;
  /**
   * The Job that does the work.
   */
  job?: string;
  /**
   * How the dump was made consistent.
   */
  consistency?: 'lock' | 'snapshot' | 'none';
  /**
   * How many Snapshots the run makes.
   */
  totalSnapshots?: number;
  /**
   * The Snapshots of the run.
   */
  snapshots?: BackupSessionStatusSnapshot[];
  /**
   * Locks that are, or may be, held for the run.
   */
  locks?: BackupSessionStatusLock[];
  balancer?: BackupSessionStatusBalancer;
  /**
   * What the retention policy did.
   */
  retention?: BackupSessionStatusRetention[];
  /**
   * Whether another run was made after this one failed.
   */
  retried?: boolean;
  /**
   * When it is tried again.
   */
  nextRetry?: string;
}
/**
 * A Snapshot of the run.
 */
export interface BackupSessionStatusSnapshot {
  /**
   * Name of the Snapshot.
   */
  name: string;
  /**
   * Name of the Repository.
   */
  repository?: string;
  /**
   * Phase of the Snapshot.
   */
  phase?: string;
  /**
   * Size of the dump, in bytes.
   */
  bytes?: number;
  /**
   * What it added to the repository, in bytes.
   */
  addedBytes?: number;
}
/**
 * A lock that was asked for on a member. It is written down before it is taken and struck out after it is released.
 */
export interface BackupSessionStatusLock {
  /**
   * The member, as host:port.
   */
  member: string;
  /**
   * The component that is read from it.
   */
  component?: string;
  /**
   * Identity of the mongod process that was to be locked; another process there is not locked by us.
   */
  processID?: string;
  /**
   * Requested: it may or may not be held. Held: it is held.
   */
  state: 'Requested' | 'Held';
  /**
   * When it was asked for.
   */
  requestedAt: string;
  /**
   * When it was granted.
   */
  heldAt?: string;
  /**
   * The Pod that took it.
   */
  holder?: string;
  /**
   * The lock's operation on the server has a higher number than this.
   */
  afterOperation?: number;
  /**
   * Number of the lock's operation on the server, known once it is held.
   */
  lockOperation?: number;
  /**
   * How many unlocks the server had seen when the lock was held. One more of them makes it unclear whose lock is left.
   */
  unlocksBefore?: number;
}
/**
 * The balancer of a sharded cluster, while the run keeps it from working. It is written down before the balancer is stopped and struck out after it is as it was.
 */
export interface BackupSessionStatusBalancer {
  /**
   * The mode that the balancer had and gets back: full, or off when it was not to work anyway.
   */
  former: 'full' | 'off';
  /**
   * Requested: it may or may not be stopped. Stopped: it is.
   */
  state: 'Requested' | 'Stopped';
  /**
   * Whether config.settings said that chunks are split, which stopping changes in some versions; unset when it said nothing.
   */
  autosplit?: boolean;
  /**
   * Identity of the cluster, so that no other one's balancer is started.
   */
  clusterID?: string;
  /**
   * When it was asked for.
   */
  requestedAt: string;
  /**
   * When it had stopped.
   */
  stoppedAt?: string;
  /**
   * The Pod that stopped it.
   */
  holder?: string;
}
/**
 * What the retention policy did in a repository.
 */
export interface BackupSessionStatusRetention {
  /**
   * Name of the Repository.
   */
  repository: string;
  /**
   * How it ended.
   */
  phase?: 'Applied' | 'Failed';
  /**
   * How many Snapshots were kept.
   */
  kept?: number;
  /**
   * How many Snapshots were removed.
   */
  removed?: number;
  /**
   * Why it failed.
   */
  message?: string;
}
/**
 * Where backups are kept: a bucket or a volume, with the credentials to reach it.
 */
export interface BackupStorage {
  apiVersion: 'backstay.dev/v1alpha1';
  kind: 'BackupStorage';
  metadata: ObjectMeta;
  spec: BackupStorageSpec;
  status?: BackupStorageStatus;
}
/**
 * What is wanted.
 */
export interface BackupStorageSpec {
  storage: BackupStorageStorage;
  /**
   * From which namespaces the storage may be used.
   */
  usagePolicy?: UsagePolicy;
  /**
   * Whether configurations of the namespace that name no storage use this one.
   */
  default?: boolean;
  /**
   * What happens to the data when the object is deleted. Delete: the object goes, and everything in the storage stays, the marker too. Repositories have a policy of their own.
   */
  deletionPolicy?: 'Delete';
  /**
   * What is laid over the Pods that look after the storage.
   */
  runtimeSettings?: PodTemplate;
}
/**
 * The place: one provider with its block.
 */
export interface BackupStorageStorage {
  /**
   * Which kind of place.
   */
  provider: 's3' | 'gcs' | 'azure' | 'local';
  s3?: BackupStorageStorageS3;
  gcs?: BackupStorageStorageGcs;
  azure?: BackupStorageStorageAzure;
  local?: BackupStorageStorageLocal;
}
/**
 * Amazon S3, or a service that speaks its protocol.
 */
export interface BackupStorageStorageS3 {
  /**
   * URL of the service, such as https://minio.example.com:9000. Amazon S3 of the region when empty.
   */
  endpoint?: string;
  /**
   * Name of the bucket. It must exist.
   */
  bucket: string;
  /**
   * Folder inside the bucket that everything is kept below, without a leading slash.
   */
  prefix?: string;
  /**
   * Region of the bucket, such as eu-central-1.
   */
  region?: string;
  /**
   * Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and CA_CERT_DATA for a private authority. The identity of the Pod is used when empty.
   */
  secretName?: string;
  /**
   * How many connections are used at the same time.
   */
  maxConnections?: number;
  /**
   * Whether the certificate of the service goes unverified. Never in production.
   */
  insecureTLS?: boolean;
}
/**
 * Google Cloud Storage.
 */
export interface BackupStorageStorageGcs {
  /**
   * Name of the bucket. It must exist.
   */
  bucket: string;
  /**
   * Folder inside the bucket that everything is kept below, without a leading slash.
   */
  prefix?: string;
  /**
   * How many connections are used at the same time.
   */
  maxConnections?: number;
  /**
   * Secret with GOOGLE_SERVICE_ACCOUNT_JSON_KEY. The identity of the Pod is used when empty.
   */
  secretName?: string;
}
/**
 * Azure Blob Storage.
 */
export interface BackupStorageStorageAzure {
  /**
   * Name of the storage account.
   */
  storageAccount: string;
  /**
   * Name of the container. It must exist.
   */
  container: string;
  /**
   * Folder inside the bucket that everything is kept below, without a leading slash.
   */
  prefix?: string;
  /**
   * How many connections are used at the same time.
   */
  maxConnections?: number;
  /**
   * Secret with AZURE_ACCOUNT_KEY. The identity of the Pod is used when empty.
   */
  secretName?: string;
}
/**
 * A volume that Pods can mount: exactly one of hostPath, persistentVolumeClaim and nfs.
 */
export interface BackupStorageStorageLocal {
  hostPath?: BackupStorageStorageLocalHostPath;
  persistentVolumeClaim?: BackupStorageStorageLocalPersistentVolumeClaim;
  nfs?: BackupStorageStorageLocalNfs;
  /**
   * Where the volume is mounted in the Pods.
   */
  mountPath?: string;
  /**
   * Folder inside the volume, without a leading slash.
   */
  subPath?: string;
  /**
   * How many connections are used at the same time.
   */
  maxConnections?: number;
}
/**
 * A folder of the node.
 */
export interface BackupStorageStorageLocalHostPath {
  /**
   * The folder.
   */
  path: string;
  /**
   * What must be there.
   */
  type?: '' | 'DirectoryOrCreate' | 'Directory';
}
/**
 * A claim in the namespace of the BackupStorage.
 */
export interface BackupStorageStorageLocalPersistentVolumeClaim {
  /**
   * Name of the claim.
   */
  claimName: string;
  /**
   * Whether it is mounted for reading only.
   */
  readOnly?: boolean;
}
/**
 * A share of an NFS server.
 */
export interface BackupStorageStorageLocalNfs {
  /**
   * Name or address of the server.
   */
  server: string;
  /**
   * The share.
   */
  path: string;
  /**
   * Whether it is mounted for reading only.
   */
  readOnly?: boolean;
}
/**
 * What was observed.
 */
export interface BackupStorageStatus {
  /**
   * The metadata.generation that the status speaks of.
   */
  observedGeneration?: number;
  conditions?: Conditions;
  /**
   * Whether the storage can be used.
   */
  phase?: 'Ready' | 'NotReady';
  /**
   * Identity of the storage, from the marker kept in it.
   */
  storageID?: string;
  /**
   * Size of all repositories in the storage, in bytes.
   */
  totalBytes?: number;
  /**
   * When the storage was last reached, or tried.
   */
  lastCheckTime?: string;
  /**
   * The repositories in the storage.
   */
  repositories?: BackupStorageStatusRepository[];
}
/**
 * A repository in the storage.
 */
export interface BackupStorageStatusRepository {
  /**
   * Namespace of the Repository.
   */
  namespace: string;
  /**
   * Name of the Repository.
   */
  name: string;
  /**
   * Path of the repository below the prefix.
   */
  path?: string;
  /**
   * Size of the repository, in bytes.
   */
  bytes?: number;
}
/**
 * The image and the arguments that run a task.
 */
export interface BackstayFunction {
  apiVersion: 'backstay.dev/v1alpha1';
  kind: 'Function';
  metadata: ObjectMeta;
  spec: FunctionSpec;
}
/**
 * What is wanted.
 */
export interface FunctionSpec {
  /**
   * Image of the container. The image of the operator when empty.
   */
  image?: string;
  /**
   * Entry point of the container. That of the image when empty.
   */
  command?: string[];
  /**
   * Arguments. ${name} stands for a variable of the session or a parameter, ${name:=default} for one that may be missing.
   */
  args?: string[];
  /**
   * Working folder of the container.
   */
  workingDir?: string;
  /**
   * Environment variables of the container.
   */
  env?: FunctionEnv[];
  /**
   * What is laid over the Pod.
   */
  runtimeSettings?: PodTemplate;
}
/**
 * An environment variable.
 */
export interface FunctionEnv {
  /**
   * Name of the variable.
   */
  name: string;
  /**
   * Value; ${name} stands for a variable.
   */
  value?: string;
}
/**
 * A git repository whose policies the cluster follows.
 */
export interface PolicySync {
  apiVersion: 'backstay.dev/v1alpha1';
  kind: 'PolicySync';
  metadata: ObjectMeta;
  spec: PolicySyncSpec;
  status?: PolicySyncStatus;
}
/**
 * What is wanted.
 */
export interface PolicySyncSpec {
  /**
   * URL of the repository: https://, http:// or ssh://, without credentials.
   */
  url: string;
  ref?: PolicySyncRef;
  /**
   * Folder in the repository that the policies are in. The whole of it when empty.
   */
  path?: string;
  /**
   * How often the repository is asked for something new, such as 1m.
   */
  interval?: string;
  /**
   * How soon a failure is tried again. The interval when empty.
   */
  retryInterval?: string;
  /**
   * How long one reconciliation may take.
   */
  timeout?: string;
  /**
   * Whether the repository is left alone.
   */
  suspend?: boolean;
  /**
   * Whether objects that are no longer in the repository are deleted.
   */
  prune?: boolean;
  /**
   * What happens to the objects when the PolicySync is deleted. Orphan: they stay. Delete: they are deleted.
   */
  deletionPolicy?: 'Orphan' | 'Delete';
  /**
   * Whether objects that Flux, Argo CD or another PolicySync manages are taken over.
   */
  force?: boolean;
  /**
   * Namespace of objects that name none. That of the PolicySync when empty.
   */
  targetNamespace?: string;
  receiver?: PolicySyncReceiver;
  commitStatus?: PolicySyncCommitStatus;
  /**
   * Whether a branch whose history was rewritten, and a tag that was moved, are refused. They are reported in any case.
   */
  requireFastForward?: boolean;
  verify?: PolicySyncVerify;
  decryption?: PolicySyncDecryption;
  /**
   * Secret to reach the repository, with the keys of Flux: username and password, bearerToken, ca.crt, tls.crt and tls.key, identity and known_hosts.
   */
  secretRef?: LocalReference;
  /**
   * Service account, in the namespace of the PolicySync, that the objects are written as.
   */
  serviceAccountName?: string;
}
/**
 * What is followed. The first of commit, name, semver, tag and branch counts; the branch main without any.
 */
export interface PolicySyncRef {
  /**
   * A branch.
   */
  branch?: string;
  /**
   * A tag.
   */
  tag?: string;
  /**
   * The newest tag in a range, such as >=1.2 <2.
   */
  semver?: string;
  /**
   * A full reference, such as refs/heads/main.
   */
  name?: string;
  /**
   * A commit, as 40 hexadecimal digits.
   */
  commit?: string;
}
/**
 * Calls of the git server after a push are taken at /hook/NAMESPACE/NAME of the operator's receiver, so that it need not be waited for.
 */
export interface PolicySyncReceiver {
  /**
   * Who calls. Generic: anybody who signs the body by HMAC-SHA-256 in the header X-Signature, as sha256=HEX.
   */
  type: 'GitHub' | 'GitLab' | 'Gitea' | 'Generic';
  /**
   * Secret whose key token is what the calls are signed with.
   */
  secretRef: LocalReference;
}
/**
 * How a commit went is written back to the git server, beside the commit: pending, success, or failure with the cause.
 */
export interface PolicySyncCommitStatus {
  /**
   * Whose API is spoken. Gitea: Forgejo too.
   */
  provider: 'GitHub' | 'GitLab' | 'Gitea';
  /**
   * Address of the API, such as https://git.example.com/api/v4. Derived from the URL of the repository when empty.
   */
  apiURL?: string;
  /**
   * Name of the status, for a rule that requires it. When empty backstay/NAMESPACE/NAME/ and the beginning of the PolicySync's uid, which no other cluster has.
   */
  context?: string;
  /**
   * Secret whose key token may write statuses; ca.crt in it is the certificate authority of the API.
   */
  secretRef: LocalReference;
}
/**
 * Which signatures a revision needs to be applied.
 */
export interface PolicySyncVerify {
  /**
   * What has to be signed. HEAD: the commit. Tag: the tag that is followed. TagAndHEAD: both.
   */
  mode?: 'HEAD' | 'Tag' | 'TagAndHEAD';
  /**
   * Secret with the public keys that are trusted, with the keys of Flux: *.asc for PGP, *.sshpub for ssh.
   */
  secretRef: LocalReference;
}
/**
 * How Secrets in the repository are decrypted. Without it a Secret is refused; with it a Secret that is not encrypted.
 */
export interface PolicySyncDecryption {
  /**
   * What they are encrypted with. SOPS: with keys of age.
   */
  provider: 'SOPS';
  /**
   * Secret with the age keys, with the keys of Flux: *.agekey, each a file that age-keygen wrote.
   */
  secretRef: LocalReference;
}
/**
 * What was observed.
 */
export interface PolicySyncStatus {
  /**
   * The metadata.generation that the status speaks of.
   */
  observedGeneration?: number;
  conditions?: Conditions;
  /**
   * The revision that was applied, such as main@sha1:0a1b…
   */
  lastAppliedRevision?: string;
  /**
   * The revision that was last tried.
   */
  lastAttemptedRevision?: string;
  /**
   * The reconcile annotation that was last acted upon.
   */
  lastHandledReconcileAt?: string;
  /**
   * When the repository was last asked.
   */
  lastReconcileTime?: string;
  /**
   * When it is asked next.
   */
  nextReconcileTime?: string;
  commitStatus?: PolicySyncStatusCommitStatus;
  /**
   * How many objects the repository has.
   */
  objects?: number;
  /**
   * The objects that were applied.
   */
  inventory?: PolicySyncStatusInventory[];
  /**
   * What is wrong in the revision that was last tried.
   */
  failures?: PolicySyncStatusFailure[];
  /**
   * The last five reconciliations that changed something or failed.
   */
  history?: PolicySyncStatusHistory[];
}
/**
 * What the git server was last told.
 */
export interface PolicySyncStatusCommitStatus {
  /**
   * The commit.
   */
  commit: string;
  /**
   * How it went.
   */
  state: 'Pending' | 'Success' | 'Failure';
  /**
   * Why it failed, in one word.
   */
  reason?: string;
  /**
   * Name of the status.
   */
  context: string;
}
/**
 * An object that was applied.
 */
export interface PolicySyncStatusInventory {
  /**
   * namespace_name_group_kind.
   */
  id: string;
  /**
   * API version.
   */
  v?: string;
  /**
   * Digest of what was applied.
   */
  digest?: string;
}
/**
 * Something that is wrong.
 */
export interface PolicySyncStatusFailure {
  /**
   * The file.
   */
  file?: string;
  /**
   * The line, from 1.
   */
  line?: number;
  /**
   * The object, as kind/namespace/name.
   */
  object?: string;
  /**
   * The field.
   */
  field?: string;
  /**
   * What is wrong.
   */
  message: string;
}
/**
 * A reconciliation.
 */
export interface PolicySyncStatusHistory {
  /**
   * The revision.
   */
  revision: string;
  /**
   * When.
   */
  time: string;
  /**
   * How long it took, in seconds.
   */
  durationSeconds?: number;
  /**
   * How it ended.
   */
  outcome?: 'Applied' | 'Failed';
  /**
   * What was done, or what was wrong.
   */
  message?: string;
}
/**
 * A restic repository inside a BackupStorage.
 */
export interface Repository {
  apiVersion: 'backstay.dev/v1alpha1';
  kind: 'Repository';
  metadata: ObjectMeta;
  spec: RepositorySpec;
  status?: RepositoryStatus;
}
/**
 * What is wanted.
 */
export interface RepositorySpec {
  /**
   * The database whose backups it holds.
   */
  appRef?: TypedReference;
  /**
   * The BackupStorage it lies in.
   */
  storageRef: ObjectReference;
  /**
   * Folder below the prefix of the storage.
   */
  path: string;
  /**
   * Secret with RESTIC_PASSWORD.
   */
  encryptionSecret: ObjectReference;
  /**
   * What happens to the data when the object is deleted. Delete: it stays. WipeOut: every snapshot is removed.
   */
  deletionPolicy?: 'Delete' | 'WipeOut';
  /**
   * From which namespaces a RestoreSession may read it.
   */
  usagePolicy?: UsagePolicy;
  /**
   * Whether it is left alone.
   */
  paused?: boolean;
}
/**
 * What was observed.
 */
export interface RepositoryStatus {
  /**
   * The metadata.generation that the status speaks of.
   */
  observedGeneration?: number;
  conditions?: Conditions;
  /**
   * Whether the repository can be used.
   */
  phase?: 'Ready' | 'NotReady';
  /**
   * Identity of the restic repository.
   */
  resticID?: string;
  /**
   * When the last good Snapshot was made.
   */
  lastBackupTime?: string;
  /**
   * How many good Snapshots it holds.
   */
  snapshotCount?: number;
  /**
   * What its Snapshots added, in bytes.
   */
  bytes?: number;
  /**
   * When the repository was last opened, or tried.
   */
  lastCheckTime?: string;
  /**
   * The newest Snapshots.
   */
  recentSnapshots?: RepositoryStatusRecentSnapshot[];
}
/**
 * A Snapshot.
 */
export interface RepositoryStatusRecentSnapshot {
  /**
   * Name of the Snapshot.
   */
  name: string;
  /**
   * Its phase.
   */
  phase?: string;
  /**
   * The session that made it.
   */
  session?: string;
  /**
   * Size of the dump, in bytes.
   */
  bytes?: number;
  /**
   * When it was made.
   */
  snapshotTime?: string;
}
/**
 * One restore of a Snapshot into a database.
 */
export interface RestoreSession {
  apiVersion: 'backstay.dev/v1alpha1';
  kind: 'RestoreSession';
  metadata: ObjectMeta;
  spec: RestoreSessionSpec;
  status?: RestoreSessionStatus;
}
/**
 * What is wanted. It does not change once it runs.
 */
export interface RestoreSessionSpec {
  /**
   * The database to restore into.
   */
  target: Target;
  dataSource: RestoreSessionDataSource;
  addon: AddonUse;
  guards?: RestoreSessionGuards;
  /**
   * How long the restore may take before it is stopped and failed, such as 4h.
   */
  restoreTimeout?: string;
}
/**
 * What to restore.
 */
export interface RestoreSessionDataSource {
  /**
   * Namespace of the Repository. The namespace of the RestoreSession when empty.
   */
  namespace?: string;
  /**
   * The Repository that holds the Snapshot.
   */
  repository: string;
  /**
   * Name of the Snapshot, or latest: the newest good one.
   */
  snapshot?: string;
  /**
   * Components to restore. All when empty.
   */
  components?: string[];
  namespaces?: RestoreSessionDataSourceNamespaces;
  /**
   * Shards of a sharded cluster that have another name in the target. The others are restored into the shard of the same name.
   */
  shards?: RestoreSessionDataSourceShard[];
  /**
   * Secret with RESTIC_PASSWORD, when it is not the one of the Repository.
   */
  encryptionSecret?: ObjectReference;
}
/**
 * Which namespaces (database.collection) to restore, and under which names. All when empty.
 */
export interface RestoreSessionDataSourceNamespaces {
  /**
   * Only these, such as shop.orders or shop.*.
   */
  include?: string[];
  /**
   * Not these.
   */
  exclude?: string[];
  /**
   * Under other names.
   */
  rename?: RestoreSessionDataSourceNamespacesRename[];
}
/**
 * A new name.
 */
export interface RestoreSessionDataSourceNamespacesRename {
  /**
   * The namespace in the Snapshot.
   */
  from: string;
  /**
   * The namespace in the target.
   */
  to: string;
}
/**
 * A shard and its place.
 */
export interface RestoreSessionDataSourceShard {
  /**
   * Name of the shard in the Snapshot.
   */
  from: string;
  /**
   * Name of the shard in the target.
   */
  to: string;
}
/**
 * What must hold before the first write.
 */
export interface RestoreSessionGuards {
  /**
   * What is done when the target already holds data under a name to restore. Refuse: nothing is restored. Drop: those collections are dropped first. Merge: documents are added, and one that exists already is a failure.
   */
  existingData?: 'Refuse' | 'Drop' | 'Merge';
}
/**
 * What was observed.
 */
export interface RestoreSessionStatus {
  /**
   * The metadata.generation that the status speaks of.
   */
  observedGeneration?: number;
  conditions?: Conditions;
  /**
   * Where the restore stands.
   */
  phase?: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Invalid';
  /**
   * Whether the target exists.
   */
  targetFound?: boolean;
  /**
   * The Snapshot that is restored.
   */
  snapshot?: string;
  /**
   * The Job that does the work.
   */
  job?: string;
  /**
   * When it started.
   */
  startTime?: string;
  /**
   * When it ended.
   */
  completionTime?: string;
  /**
   * How long it took, in seconds.
   */
  durationSeconds?: number;
  /**
   * When it is stopped and failed.
   */
  restoreDeadline?: string;
  /**
   * How many components are restored.
   */
  totalComponents?: number;
  /**
   * The parts that are restored.
   */
  components?: RestoreSessionStatusComponent[];
  balancer?: RestoreSessionStatusBalancer;
  /**
   * BackupConfigurations of the target that rest while it is restored.
   */
  pausedBackups?: string[];
}
/**
 * A part that is restored.
 */
export interface RestoreSessionStatusComponent {
  /**
   * Name of the component.
   */
  name: string;
  /**
   * Where it stands.
   */
  phase?: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
  /**
   * The member that is written to, as host:port.
   */
  member?: string;
  /**
   * Size of the dump so far, or in all, in bytes.
   */
  bytes?: number;
  /**
   * How many documents.
   */
  documents?: number;
  /**
   * How many collections are done.
   */
  collectionsDone?: number;
  /**
   * How many collections there are.
   */
  collectionsTotal?: number;
  /**
   * While it runs: size of the archive that is read, in bytes.
   */
  bytesTotal?: number;
  /**
   * While it runs: how many documents are in the archive; not known when namespaces are chosen.
   */
  documentsTotal?: number;
  /**
   * How long the rest will take at the pace so far, in seconds.
   */
  remainingSeconds?: number;
  /**
   * How fast it goes, in bytes a second.
   */
  bytesPerSecond?: number;
  /**
   * How many documents could not be restored.
   */
  failedDocuments?: number;
  /**
   * How many indexes were built.
   */
  indexes?: number;
  /**
   * When it started.
   */
  startTime?: string;
  /**
   * When it ended.
   */
  completionTime?: string;
  /**
   * How long it took, in seconds.
   */
  durationSeconds?: number;
  /**
   * Why it failed.
   */
  error?: string;
}
/**
 * The balancer of a sharded cluster, while the restore keeps it from working. It is written down before the balancer is stopped and struck out after it is as it was.
 */
export interface RestoreSessionStatusBalancer {
  /**
   * The mode that the balancer had and gets back: full, or off when it was not to work anyway.
   */
  former: 'full' | 'off';
  /**
   * Requested: it may or may not be stopped. Stopped: it is.
   */
  state: 'Requested' | 'Stopped';
  /**
   * Whether config.settings said that chunks are split, which stopping changes in some versions; unset when it said nothing.
   */
  autosplit?: boolean;
  /**
   * Identity of the cluster, so that no other one's balancer is started.
   */
  clusterID?: string;
  /**
   * When it was asked for.
   */
  requestedAt: string;
  /**
   * When it had stopped.
   */
  stoppedAt?: string;
  /**
   * The Pod that stopped it.
   */
  holder?: string;
}
/**
 * How long Snapshots are kept.
 */
export interface RetentionPolicy {
  apiVersion: 'backstay.dev/v1alpha1';
  kind: 'RetentionPolicy';
  metadata: ObjectMeta;
  spec: RetentionPolicySpec;
}
/**
 * What is wanted.
 */
export interface RetentionPolicySpec {
  /**
   * Snapshots older than this are removed, such as 30d or 1y6mo (y, mo, w, d, h, m; mo is 30 days, y is 365). The newest good one always stays.
   */
  maxRetentionPeriod?: string;
  successfulSnapshots?: RetentionPolicySuccessfulSnapshots;
  failedSnapshots?: RetentionPolicyFailedSnapshots;
  /**
   * From which namespaces the policy may be used.
   */
  usagePolicy?: UsagePolicy;
  /**
   * Whether configurations of the namespace that name no policy use this one.
   */
  default?: boolean;
}
/**
 * How many good Snapshots are kept. One that any of the rules keeps is kept.
 */
export interface RetentionPolicySuccessfulSnapshots {
  /**
   * How many of the newest are kept.
   */
  last?: number;
  /**
   * How many of the newest of each hour are kept.
   */
  hourly?: number;
  /**
   * How many of the newest of each day are kept.
   */
  daily?: number;
  /**
   * How many of the newest of each ISO week are kept.
   */
  weekly?: number;
  /**
   * How many of the newest of each month are kept.
   */
  monthly?: number;
  /**
   * How many of the newest of each year are kept.
   */
  yearly?: number;
}
/**
 * How many failed Snapshots are kept for reading.
 */
export interface RetentionPolicyFailedSnapshots {
  /**
   * How many of the newest failed ones are kept.
   */
  last?: number;
}
/**
 * One backup in one repository.
 */
export interface Snapshot {
  apiVersion: 'backstay.dev/v1alpha1';
  kind: 'Snapshot';
  metadata: ObjectMeta;
  spec: SnapshotSpec;
  status?: SnapshotStatus;
}
/**
 * What is wanted.
 */
export interface SnapshotSpec {
  /**
   * Identity of the Snapshot, also kept in the repository.
   */
  snapshotID: string;
  /**
   * What it holds.
   */
  type?: 'FullBackup';
  /**
   * The Repository that holds it.
   */
  repository: string;
  /**
   * The session that made it.
   */
  session?: string;
  /**
   * The BackupSession that made it.
   */
  backupSession?: string;
  /**
   * Layout of the Snapshot in the repository.
   */
  version?: 'v1';
  /**
   * The database that was backed up.
   */
  appRef?: TypedReference;
  /**
   * What happens to the data when the object is deleted. Delete: it stays in the repository. WipeOut: it is removed from it.
   */
  deletionPolicy?: 'Delete' | 'WipeOut';
}
/**
 * What was observed.
 */
export interface SnapshotStatus {
  /**
   * The metadata.generation that the status speaks of.
   */
  observedGeneration?: number;
  conditions?: Conditions;
  /**
   * Where it stands.
   */
  phase?: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
  /**
   * When the backup began.
   */
  snapshotTime?: string;
  /**
   * When the backup was whole in the repository.
   */
  completionTime?: string;
  /**
   * Size of all components, in bytes.
   */
  bytes?: number;
  /**
   * What it added to the repository, in bytes.
   */
  addedBytes?: number;
  /**
   * How many components it has.
   */
  totalComponents?: number;
  /**
   * The parts of the Snapshot.
   */
  components?: SnapshotStatusComponent[];
  /**
   * Identity of the restic snapshot of the manifest, which is written last: without it the Snapshot does not count.
   */
  manifestID?: string;
  database?: SnapshotStatusDatabase;
}
/**
 * A part of the Snapshot: the whole dump, or that of a shard or the config server.
 */
export interface SnapshotStatusComponent {
  /**
   * Name of the component: dump; of a sharded cluster configserver, and the name of each shard.
   */
  name: string;
  /**
   * Where it stands.
   */
  phase?: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
  /**
   * Name of the archive inside the restic snapshot.
   */
  file?: string;
  /**
   * Identity of the restic snapshot.
   */
  resticSnapshotID?: string;
  /**
   * Where the component is written as several archives: each of them. The component itself has no file, resticSnapshotID and hash then.
   */
  archives?: SnapshotStatusComponentArchive[];
  /**
   * Size of the dump so far, or in all, in bytes.
   */
  bytes?: number;
  /**
   * How many documents.
   */
  documents?: number;
  /**
   * How many collections are done.
   */
  collectionsDone?: number;
  /**
   * How many collections there are.
   */
  collectionsTotal?: number;
  /**
   * While it runs: how large the dump will be by the statistics of the server, in bytes.
   */
  bytesTotal?: number;
  /**
   * While it runs: how many documents there are by the statistics of the server.
   */
  documentsTotal?: number;
  /**
   * How long the rest will take at the pace so far, in seconds.
   */
  remainingSeconds?: number;
  /**
   * How fast it goes, in bytes a second.
   */
  bytesPerSecond?: number;
  /**
   * What it added to the repository, in bytes, after compression and encryption.
   */
  addedBytes?: number;
  /**
   * The member that was read, as host:port.
   */
  member?: string;
  /**
   * Why that member.
   */
  memberReason?: string;
  /**
   * How the dump was made consistent.
   */
  consistency?: 'lock' | 'snapshot' | 'none';
  /**
   * Why so, when it is not what was asked for.
   */
  consistencyReason?: string;
  /**
   * The point of the oplog that the dump shows, as seconds.ordinal.
   */
  cutTime?: string;
  /**
   * How long the member was locked, in seconds.
   */
  lockedSeconds?: number;
  /**
   * When it started.
   */
  startTime?: string;
  /**
   * When it ended.
   */
  completionTime?: string;
  /**
   * How long it took, in seconds.
   */
  durationSeconds?: number;
  /**
   * SHA-256 of the archive, as hexadecimal digits.
   */
  hash?: string;
  /**
   * Why it failed.
   */
  error?: string;
}
/**
 * One archive of the component, with whole collections.
 */
export interface SnapshotStatusComponentArchive {
  /**
   * Name of the archive inside its restic snapshot.
   */
  file: string;
  /**
   * Identity of the restic snapshot.
   */
  resticSnapshotID?: string;
  /**
   * Size of the archive in bytes.
   */
  bytes?: number;
  /**
   * What it added to the repository, in bytes, after compression and encryption.
   */
  addedBytes?: number;
  /**
   * SHA-256 of the archive, hexadecimal.
   */
  hash?: string;
}
/**
 * The database as it was.
 */
export interface SnapshotStatusDatabase {
  /**
   * Version of the server.
   */
  version?: string;
  /**
   * Feature compatibility version.
   */
  featureCompatibilityVersion?: string;
  /**
   * Its topology.
   */
  topology?: 'Standalone' | 'ReplicaSet' | 'Sharded';
  /**
   * Name of the replica set.
   */
  replicaSet?: string;
}


/** An object of any kind of Backstay. */
export type BackstayObject =
  | Addon
  | AppBinding
  | BackupConfiguration
  | BackupPolicyRule
  | BackupSession
  | BackupStorage
  | BackstayFunction
  | PolicySync
  | Repository
  | RestoreSession
  | RetentionPolicy
  | Snapshot;
