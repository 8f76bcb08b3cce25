/** The system's own tables and views that every client reads to know what there is. */

const readable: ReadonlySet<string> = new Set(
  [
    'pg_aggregate pg_am pg_amop pg_amproc pg_attrdef pg_attribute pg_auth_members',
    'pg_available_extension_versions pg_available_extensions pg_cast pg_class pg_collation',
    'pg_constraint pg_conversion pg_cursors pg_database pg_default_acl pg_depend pg_description',
    'pg_enum pg_event_trigger pg_extension pg_foreign_data_wrapper pg_foreign_server pg_foreign_table pg_group',
    'pg_index pg_indexes pg_inherits pg_init_privs pg_language pg_largeobject_metadata pg_locks',
    'pg_matviews pg_namespace',
    'pg_opclass pg_operator pg_opfamily pg_partitioned_table pg_policies pg_policy',
    'pg_prepared_statements pg_proc pg_publication pg_publication_namespace pg_publication_rel',
    'pg_publication_tables pg_range pg_rewrite pg_roles pg_rules pg_seclabel pg_seclabels',
    'pg_sequence pg_settings pg_shdepend pg_shdescription pg_statistic_ext pg_tables',
    'pg_tablespace pg_timezone_abbrevs pg_timezone_names pg_transform pg_trigger pg_ts_config',
    'pg_ts_config_map pg_ts_dict pg_ts_parser pg_ts_template pg_type pg_user pg_views',
  ]
    .join(' ')
    .split(' '),
);

/** Views of the information schema that show options in which passwords stand. */
const secretViews: ReadonlySet<string> = new Set(['user_mapping_options', '_pg_user_mappings']);

/**
 * May everybody read it under a table policy? Not those with secrets or with what is in other tables (`pg_authid`,
 * `pg_user_mappings`, `pg_largeobject`, `pg_statistic`, `pg_stats`, `pg_stat_activity`, …). `pg_catalog` comes before
 * every schema of the search path that does not name it, so an unqualified name in the list is the catalog's.
 */
export function isReadableCatalog(schema: string | undefined, name: string): boolean {
  if (schema === 'information_schema') return !secretViews.has(name);
  return (schema === undefined || schema === 'pg_catalog') && readable.has(name);
}

const statistics: ReadonlySet<string> = new Set(
  'pg_stats pg_stats_ext pg_stats_ext_exprs pg_statistic pg_statistic_ext_data pg_largeobject'.split(
    ' ',
  ),
);

/** Does it hold what is in other tables? */
export function showsOthers(schema: string | undefined, name: string): boolean {
  if (schema?.startsWith('pg_toast') === true) return true;
  return (schema === undefined || schema === 'pg_catalog') && statistics.has(name);
}

/** Schemas of the server itself, which `*` in an allowed pattern does not stand for. */
export function isSystemSchema(schema: string): boolean {
  return schema === 'information_schema' || schema.startsWith('pg_');
}
