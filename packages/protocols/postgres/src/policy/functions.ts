/**
 * Functions that come with PostgreSQL or its contributed modules and do more than their place in a query says: they
 * write, steer the server, run SQL given as text, or read what is in no FROM. What a person's own functions do can not
 * be seen from outside; only the database's own grants rule that.
 */
import type { StatementClass } from './facts.js';

interface FunctionRow {
  /** What a call does beside what the query around it does. */
  readonly classes: readonly StatementClass[];
  /** It reaches tables that the text does not name, or files. */
  readonly hidesTables: boolean;
}

function row(hidesTables: boolean, ...classes: StatementClass[]): FunctionRow {
  return { classes, hidesTables };
}

/** SQL inside a text may do anything, so it counts as DO does. */
const runsText = row(true, 'call');
const readsTables = row(true);
const readsFiles = row(true, 'utility');
const writesObjects = row(true, 'update');
const changesTables = row(true, 'utility');
const steersServer = row(false, 'utility');

function list(names: string, value: FunctionRow): [string, FunctionRow][] {
  return names.split(' ').map((name) => [name, value]);
}

const exact: ReadonlyMap<string, FunctionRow> = new Map([
  ...list('ts_stat ts_rewrite connectby xpath_table', runsText),
  ...list('lo_get lo_open loread get_raw_page pgrowlocks pgstattuple', readsTables),
  ...list('pg_hba_file_rules pg_ident_file_mappings pg_show_all_file_settings', readsTables),
  ...list('pg_stat_get_activity pg_stat_get_backend_activity pg_mcv_list_items', readsTables),
  ...list('pg_stat_statements currtid currtid2 hash_bitmap_info', readsTables),
  ...list('bt_page_items bt_page_stats bt_multi_page_stats bt_metap', readsTables),
  ...list('lo_import lo_export pg_read_file pg_read_file_old pg_read_binary_file', readsFiles),
  ...list('pg_stat_file pg_logdir_ls', readsFiles),
  ...list('heap_force_kill heap_force_freeze pg_truncate_visibility_map', changesTables),
  ...list('brin_summarize_new_values brin_summarize_range brin_desummarize_range', changesTables),
  ...list('gin_clean_pending_list', changesTables),
  ['lowrite', writesObjects],
  // Drawing from a sequence belongs to inserting, as a column's default does it.
  ['nextval', row(false, 'insert')],
  ['setval', row(false, 'update')],
  ...list('pg_terminate_backend pg_cancel_backend pg_log_backend_memory_contexts', steersServer),
  ...list('pg_reload_conf pg_rotate_logfile pg_rotate_logfile_old pg_promote', steersServer),
  ...list('pg_switch_wal pg_switch_xlog pg_notify pg_prewarm pg_nextoid', steersServer),
  ...list('pg_start_backup pg_stop_backup pg_import_system_collations', steersServer),
  ...list('pg_stat_statements_reset pg_export_snapshot', steersServer),
  ...list('pg_log_standby_snapshot pg_sync_replication_slots', steersServer),
]);

const prefixes: readonly [string, FunctionRow][] = [
  ...list('query_to_xml dblink crosstab', runsText),
  ...list('table_to_xml schema_to_xml database_to_xml cursor_to_xml pg_get_wal_', readsTables),
  ...list('pg_ls_ pg_file_', readsFiles),
  ['lo_', writesObjects],
  ['pg_logical_', row(true, 'utility')],
  ...list('pg_stat_reset pg_replication_ pg_wal_replay_ pg_backup_ pg_create_', steersServer),
  ...list('pg_drop_ pg_copy_ pg_restore_ pg_clear_ binary_upgrade_', steersServer),
];

/** Of the functions known by their beginning those that take one argument. */
const oneArgument: ReadonlySet<string> = new Set(
  [
    'dblink dblink_exec dblink_connect dblink_connect_u dblink_disconnect crosstab crosstab2 crosstab3 crosstab4',
    'pg_ls_dir pg_ls_tmpdir pg_ls_replslotdir pg_file_unlink pg_file_sync',
    'lo_unlink lo_create lo_creat lo_close lo_tell lo_tell64 lo_truncate',
    'pg_drop_replication_slot pg_create_restore_point pg_backup_stop pg_get_wal_record_info',
    'pg_stat_reset_single_table_counters pg_stat_reset_single_function_counters pg_stat_reset_slru',
    'pg_stat_reset_shared pg_stat_reset_replication_slot pg_stat_reset_subscription_stats',
    'pg_replication_origin_create pg_replication_origin_drop pg_replication_origin_session_setup',
  ]
    .join(' ')
    .split(' '),
);

/** The same for `x.name`, which calls the function with `x` where that has no such column: only what takes one argument. */
export function columnRowOf(name: string): FunctionRow | undefined {
  return exact.get(name) ?? (oneArgument.has(name) ? functionRowOf(name) : undefined);
}

/** What calling the function does; the name is the last part, folded. Undefined: nothing that is known of. */
export function functionRowOf(name: string): FunctionRow | undefined {
  return exact.get(name) ?? prefixes.find(([prefix]) => name.startsWith(prefix))?.[1];
}
