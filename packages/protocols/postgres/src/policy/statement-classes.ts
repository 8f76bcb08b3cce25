/**
 * The statements of PostgreSQL's grammar, each with what it does by itself. What stands inside a statement (a query, a
 * CTE, what is prepared or explained) adds its own; `classify.ts` adds what depends on options.
 */
import type { StatementClass } from './facts.js';

interface StatementRow {
  readonly classes: readonly StatementClass[];
  /** May it reach tables that its text does not name? */
  readonly hidesTables: boolean;
}

function row(hidesTables: boolean, ...classes: StatementClass[]): StatementRow {
  return { classes, hidesTables };
}

const select = row(false, 'select');
const ddl = row(false, 'ddl');
/** Definitions that reach further than their text: code, whole schemas, whole databases. */
const wideDdl = row(true, 'ddl');
const dcl = row(false, 'dcl');
const wideDcl = row(true, 'dcl');
const call = row(true, 'call');
const transaction = row(false, 'transaction');
/** What a session does to its own state. */
const session = row(false, 'set');
const utility = row(false, 'utility');
const wideUtility = row(true, 'utility');
/** Only what stands inside counts. */
const wrapper = row(false);

const rows: ReadonlyMap<string, StatementRow> = new Map(
  Object.entries({
    SelectStmt: wrapper,
    SetOperationStmt: select,
    ReturnStmt: wrapper,
    PLAssignStmt: wrapper,
    RawStmt: wrapper,
    FetchStmt: select,
    DeclareCursorStmt: wrapper,
    PrepareStmt: wrapper,
    ExecuteStmt: wrapper,
    ExplainStmt: row(false, 'explain'),
    VariableShowStmt: row(false, 'show'),
    InsertStmt: row(false, 'insert'),
    UpdateStmt: row(false, 'update'),
    DeleteStmt: row(false, 'delete'),
    TruncateStmt: row(false, 'delete'),
    MergeStmt: wrapper,
    CopyStmt: row(false, 'copy'),
    CallStmt: call,
    DoStmt: call,
    TransactionStmt: transaction,
    ConstraintsSetStmt: transaction,
    VariableSetStmt: wrapper,
    DiscardStmt: session,
    DeallocateStmt: session,
    ClosePortalStmt: session,
    UnlistenStmt: session,
    ListenStmt: utility,
    NotifyStmt: utility,
    LockStmt: wrapper,
    CheckPointStmt: utility,
    LoadStmt: wideUtility,
    AlterSystemStmt: wideUtility,
    VacuumStmt: utility,
    ClusterStmt: utility,
    ReindexStmt: utility,
    RefreshMatViewStmt: utility,
    GrantStmt: dcl,
    GrantRoleStmt: wideDcl,
    AlterDefaultPrivilegesStmt: wideDcl,
    CreateRoleStmt: wideDcl,
    AlterRoleStmt: wideDcl,
    AlterRoleSetStmt: wideDcl,
    DropRoleStmt: wideDcl,
    DropOwnedStmt: row(true, 'ddl', 'dcl'),
    ReassignOwnedStmt: wideDcl,
    CreatePolicyStmt: dcl,
    AlterPolicyStmt: dcl,
    SecLabelStmt: dcl,
    CreateUserMappingStmt: wideDcl,
    AlterUserMappingStmt: wideDcl,
    DropUserMappingStmt: wideDcl,
    CreateStmt: ddl,
    CreateTableAsStmt: ddl,
    CreateForeignTableStmt: wideDdl,
    CreateSeqStmt: ddl,
    AlterSeqStmt: ddl,
    CreateStatsStmt: ddl,
    AlterTableStmt: ddl,
    IndexStmt: ddl,
    ViewStmt: ddl,
    RuleStmt: ddl,
    CreateTrigStmt: ddl,
    CommentStmt: ddl,
    DropStmt: ddl,
    RenameStmt: ddl,
    AlterObjectSchemaStmt: ddl,
    AlterObjectDependsStmt: ddl,
    AlterOwnerStmt: ddl,
    CompositeTypeStmt: ddl,
    AlterStatsStmt: wideDdl,
    AlterCollationStmt: wideDdl,
    AlterDatabaseRefreshCollStmt: wideDdl,
    AlterDatabaseSetStmt: wideDdl,
    AlterDatabaseStmt: wideDdl,
    AlterDomainStmt: wideDdl,
    AlterEnumStmt: wideDdl,
    AlterEventTrigStmt: wideDdl,
    AlterExtensionContentsStmt: wideDdl,
    AlterExtensionStmt: wideDdl,
    AlterFdwStmt: wideDdl,
    AlterForeignServerStmt: wideDdl,
    AlterFunctionStmt: wideDdl,
    AlterOpFamilyStmt: wideDdl,
    AlterOperatorStmt: wideDdl,
    AlterPublicationStmt: wideDdl,
    AlterSubscriptionStmt: wideDdl,
    AlterTSConfigurationStmt: wideDdl,
    AlterTSDictionaryStmt: wideDdl,
    AlterTableMoveAllStmt: wideDdl,
    AlterTableSpaceOptionsStmt: wideDdl,
    AlterTypeStmt: wideDdl,
    CreateAmStmt: wideDdl,
    CreateCastStmt: wideDdl,
    CreateConversionStmt: wideDdl,
    CreateDomainStmt: wideDdl,
    CreateEnumStmt: wideDdl,
    CreateEventTrigStmt: wideDdl,
    CreateExtensionStmt: wideDdl,
    CreateFdwStmt: wideDdl,
    CreateForeignServerStmt: wideDdl,
    CreateFunctionStmt: wideDdl,
    CreateOpClassStmt: wideDdl,
    CreateOpFamilyStmt: wideDdl,
    CreatePLangStmt: wideDdl,
    CreatePublicationStmt: wideDdl,
    CreateRangeStmt: wideDdl,
    CreateSchemaStmt: wideDdl,
    CreateSubscriptionStmt: wideDdl,
    CreateTableSpaceStmt: wideDdl,
    CreateTransformStmt: wideDdl,
    CreatedbStmt: wideDdl,
    DefineStmt: wideDdl,
    DropSubscriptionStmt: wideDdl,
    DropTableSpaceStmt: wideDdl,
    DropdbStmt: wideDdl,
    ImportForeignSchemaStmt: wideDdl,
    ReplicaIdentityStmt: wrapper,
  }),
);

/** The row of a node type of the grammar (`SelectStmt`); undefined where the grammar has one this table does not know. */
export function statementRowOf(nodeType: string): StatementRow | undefined {
  return rows.get(nodeType);
}

/** Is the node type one of a statement? In the grammar's tree these, and only these, end so. */
export function isStatementType(nodeType: string): boolean {
  return nodeType.endsWith('Stmt');
}
