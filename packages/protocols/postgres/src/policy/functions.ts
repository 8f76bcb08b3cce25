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

/** Those that begin with `lo_`: columns of many tables do so as well. */
const largeObjects: ReadonlySet<string> = new Set(
  [
    'lo_close lo_creat lo_create lo_export lo_from_bytea lo_get lo_import lo_lseek lo_lseek64',
    'lo_manage lo_open lo_put lo_tell lo_tell64 lo_truncate lo_truncate64 lo_unlink',
  ]
    .join(' ')
    .split(' '),
);

/**
 * The same for `x.name`, which calls the function with `x` where that has no such column. The other arguments may have
 * defaults, so that it does not count how many there are.
 */
export function columnRowOf(name: string): FunctionRow | undefined {
  return name.startsWith('lo_') && !largeObjects.has(name) ? undefined : functionRowOf(name);
}

/** What calling the function does; the name is the last part, folded. Undefined: nothing that is known of. */
export function functionRowOf(name: string): FunctionRow | undefined {
  return exact.get(name) ?? prefixes.find(([prefix]) => name.startsWith(prefix))?.[1];
}
