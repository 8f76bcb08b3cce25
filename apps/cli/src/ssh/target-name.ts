/** The target that a host name of the command line means: `web-1`, also as `web-1.<cluster>`. */
export function targetOfHost(host: string, cluster: string): string {
  const suffix = `.${cluster}`;
  const isFull = host.length > suffix.length && host.toLowerCase().endsWith(suffix.toLowerCase());
  return isFull ? host.slice(0, -suffix.length) : host;
}
