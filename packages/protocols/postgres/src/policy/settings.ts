/** Settings on which the policy's facts rest: who acts, how text is read, where unqualified names are looked for. */
import type { SettingFacts } from './facts.js';

/** A setting's new value: its items as text, where undefined is one that the text does not tell. */
export type SettingValue = readonly (string | undefined)[];

/** A statement that changes no setting of these. */
export const noSettings: SettingFacts = {
  changesActor: false,
  changesReading: false,
  searchPath: undefined,
};

/** A statement that may change every setting. */
export const anySetting: SettingFacts = {
  changesActor: true,
  changesReading: true,
  searchPath: 'unknown',
};

/** Values under which the server reads a text as the parser does. */
const isSafeReading: ReadonlyMap<string, (value: string) => boolean> = new Map([
  ['standard_conforming_strings', (value) => ['on', 'true', 'yes', '1'].includes(value)],
  ['client_encoding', (value) => /^(utf8|unicode|sqlascii)$/.test(value.replace(/[^a-z0-9]/g, ''))],
  ['backslash_quote', (value) => value === 'safe_encoding'],
]);

/** What setting `name` to `value` changes; an undefined name may be any. Names are told apart as the server does: ASCII case does not count. */
export function settingFactsOf(name: string | undefined, value: SettingValue): SettingFacts {
  if (name === undefined) return anySetting;
  const folded = name.toLowerCase();
  if (folded === 'role' || folded === 'session_authorization') {
    return { ...noSettings, changesActor: true };
  }
  if (folded === 'search_path') return { ...noSettings, searchPath: schemasOf(value) };
  const isSafe = isSafeReading.get(folded);
  if (isSafe === undefined) return noSettings;
  const [text] = value;
  return { ...noSettings, changesReading: text === undefined || !isSafe(text.toLowerCase()) };
}

/** Adds up what two parts of a statement change. */
export function addSettings(one: SettingFacts, other: SettingFacts): SettingFacts {
  return {
    changesActor: one.changesActor || other.changesActor,
    changesReading: one.changesReading || other.changesReading,
    searchPath: addSearchPaths(one.searchPath, other.searchPath),
  };
}

function addSearchPaths(
  one: SettingFacts['searchPath'],
  other: SettingFacts['searchPath'],
): SettingFacts['searchPath'] {
  if (one === undefined || other === undefined) return one ?? other;
  return one === 'unknown' || other === 'unknown' ? 'unknown' : listSchemas([...one, ...other]);
}

/** The items of a list written as one text, as `set_config` takes it; undefined items where that needs the server's rules. */
export function splitList(text: string | undefined): SettingValue {
  const items = text?.split(',').map((item) => item.trim()) ?? [undefined];
  return items.map((item) =>
    item !== undefined && /^[a-z_][a-z0-9_]*$|^$/.test(item) ? item : undefined,
  );
}

function schemasOf(value: SettingValue): readonly string[] | 'unknown' {
  return value.length === 0 ? 'unknown' : listSchemas(value);
}

/** Different schemas in a path that is told; a longer one is as good as unknown, and so is a name that the server would cut. */
const maxSchemas = 100;
/** As wire/statement.ts has it, which the thread that parses does not load. */
const maxNameBytes = 63;

/** Each schema once: an unqualified name is judged by all of them, whatever their order. */
function listSchemas(items: SettingValue): readonly string[] | 'unknown' {
  const schemas = new Set<string>();
  for (const item of items) {
    if (item === undefined || Buffer.byteLength(item) > maxNameBytes) return 'unknown';
    // An empty item stands for no schema.
    if (item !== '') schemas.add(item);
    if (schemas.size > maxSchemas) return 'unknown';
  }
  return [...schemas];
}
