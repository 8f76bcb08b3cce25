/** Compiled roles by name and revision: parsing happens once per change, not once per call. */
import { parseRole, type Role } from '@gatehouse/policy';

import type { StoredDocument } from '../store/documents.js';
import { renderDocument } from './render.js';

export interface RoleCache {
  /** The compiled role, or undefined for a document that this version can't read (whoever has it then gets nothing). */
  compile(document: StoredDocument): Role | undefined;
}

const maxRoles = 10_000;

export function createRoleCache(onBroken: (name: string, thrown: unknown) => void): RoleCache {
  const known = new Map<string, { revision: number; body: string; role: Role | undefined }>();
  return {
    compile(document) {
      const body = JSON.stringify(document.body);
      const found = known.get(document.folded);
      if (found?.revision === document.revision && found.body === body) return found.role;
      let role: Role | undefined;
      try {
        role = parseRole(renderDocument(document));
      } catch (thrown) {
        onBroken(document.name, thrown);
      }
      if (known.size >= maxRoles) known.clear();
      known.set(document.folded, { revision: document.revision, body, role });
      return role;
    },
  };
}
