/**
 * Steps through the parser's tree. A node stands as `{"SelectStmt": {…}}` where the grammar leaves its type open, and
 * bare where it does not; fields begin with a small letter, types with a capital.
 */

/** A node's fields, or the whole of a bare one. */
export type Fields = Readonly<Record<string, unknown>>;

/** A part of the tree with its type: that of the grammar, or '' where the type plays no role. */
export interface TreeNode {
  readonly type: string;
  readonly fields: Fields;
  /** The field's name it stands in. */
  readonly place: string;
  /** The grammar fixes its type at its place, so it stands bare. */
  readonly isBare: boolean;
}

/** Types of the bare nodes that are looked at; a test compares them with the parser's own list. */
const bareTypes: ReadonlyMap<string, string> = new Map([
  ['larg', 'SelectStmt'],
  ['rarg', 'SelectStmt'],
  ['action', 'GrantStmt'],
  ['base', 'CreateStmt'],
  ['setstmt', 'VariableSetStmt'],
  ['funccall', 'FuncCall'],
  ['val', 'SelectStmt'],
]);

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The nodes right below `fields`, in the order of the fields. This runs for every node there is, so it makes no lists on the way. */
export function listChildren(fields: Fields): TreeNode[] {
  const children: TreeNode[] = [];
  for (const place of Object.keys(fields)) {
    const value = fields[place];
    if (typeof value !== 'object') continue;
    if (!Array.isArray(value)) {
      if (isFields(value)) children.push(nodeOf(place, value));
      continue;
    }
    for (const item of value) if (isFields(item)) children.push(nodeOf(place, item));
  }
  return children;
}

/** The node that `value` is, at the field `place`. */
export function nodeOf(place: string, value: Fields): TreeNode {
  const [type = ''] = Object.keys(value);
  const fields = value[type];
  if (isTypeName(type) && isFields(fields)) return { type, fields, place, isBare: false };
  const bareType = 'relname' in value ? 'RangeVar' : (bareTypes.get(place) ?? '');
  return { type: bareType, fields: value, place, isBare: true };
}

function isTypeName(name: string): boolean {
  const first = name.charCodeAt(0);
  return first >= 0x41 && first <= 0x5a;
}

/** The items of a repeated field, or the field itself. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value];
}

/** A text field; absent where the tree has none. */
export function textOf(fields: Fields, name: string): string | undefined {
  const value = fields[name];
  return typeof value === 'string' ? value : undefined;
}

/** The names of a qualified name, `[{"String": {"sval": "public"}}, …]`, also inside a `List`. */
export function namesOf(value: unknown): string[] {
  if (isFields(value) && isFields(value['List'])) return namesOf(value['List']['items']);
  return listOf(value).flatMap((item) => {
    if (!isFields(item) || !isFields(item['String'])) return [];
    return [textOf(item['String'], 'sval') ?? ''];
  });
}

/** What is cast to one of the types as it is; undefined where it is not. */
function castOf(value: unknown, types: ReadonlySet<string>): unknown {
  const cast = isFields(value) ? value['TypeCast'] : undefined;
  if (!isFields(cast) || !isFields(cast['typeName'])) return undefined;
  const { names, typmods, arrayBounds } = cast['typeName'];
  const [type = '', ...rest] = namesOf(names).toReversed();
  const isCatalogs = rest.every((schema) => schema === 'pg_catalog');
  const isWhole = typmods === undefined && arrayBounds === undefined;
  return isWhole && isCatalogs && types.has(type) ? cast['arg'] : undefined;
}

/** How many casts around a constant are looked through. */
const maxCasts = 4;
/** Types as which a text stays what it is. */
const plainTexts: ReadonlySet<string> = new Set(['text', 'name']);

/**
 * The text of a constant; undefined for what is worked out when it runs.
 * @param types casts to these are looked through; others change the text: `'rolex'::varchar(4)`
 */
export function constantOf(value: unknown, types = plainTexts): string | undefined {
  let item = value;
  for (let casts = 0; casts < maxCasts; casts += 1) {
    const inner = castOf(item, types);
    if (inner === undefined) break;
    item = inner;
  }
  if (!isFields(item) || !isFields(item['A_Const'])) return undefined;
  const { sval, ival } = item['A_Const'];
  if (isFields(sval)) return textOf(sval, 'sval') ?? '';
  if (isFields(ival)) return typeof ival['ival'] === 'number' ? String(ival['ival']) : '0';
  return undefined;
}
