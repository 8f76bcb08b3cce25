/** Object identifiers and names that X.509 certificates of Gatehouse use (RFC 5280, RFC 8410, RFC 5758). */
import { derOid } from './der.js';

export const oids = {
  commonName: derOid('2.5.4.3'),
  serialNumber: derOid('2.5.4.5'),
  organization: derOid('2.5.4.10'),
  organizationalUnit: derOid('2.5.4.11'),
  subjectKeyIdentifier: derOid('2.5.29.14'),
  keyUsage: derOid('2.5.29.15'),
  subjectAltName: derOid('2.5.29.17'),
  basicConstraints: derOid('2.5.29.19'),
  authorityKeyIdentifier: derOid('2.5.29.35'),
  extendedKeyUsage: derOid('2.5.29.37'),
  serverAuth: derOid('1.3.6.1.5.5.7.3.1'),
  clientAuth: derOid('1.3.6.1.5.5.7.3.2'),
  ed25519: derOid('1.3.101.112'),
  ecdsaWithSha256: derOid('1.2.840.10045.4.3.2'),
  /** 2.25.<UUID 1345dd5c-0adb-404e-a58b-70aac20287b5>: the identity payload, a UTF8String of JSON (D15). */
  identity: derOid('2.25.25618090108025571557962437140490127285'),
} as const;

/** The organizational unit of an authority's subject; leaves carry `user`, `service` or `agent` there. */
export const authorityUnit = 'gatehouse ca';

/** Organizational units of leaves: whoever appears as an issuer with one of these is no CA. */
export const leafUnits: readonly string[] = ['user', 'service', 'agent'];
