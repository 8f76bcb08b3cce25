// Written by tools/generate-registry.ts from the folders under packages/protocols.
import type { TargetType } from '@gatehouse/protocol-api';
import { target as postgres } from '@gatehouse/protocol-postgres/target';
import { target as ssh } from '@gatehouse/protocol-ssh/target';
import { target as tcp } from '@gatehouse/protocol-tcp/target';

/** The registry: what a target of each protocol is. */
export const targetTypes: Readonly<Record<string, TargetType>> = { postgres, ssh, tcp };
