/** What the CLI needs to know of SSH: how the ALPN connection of `gate proxy ssh` is named. */

/** ALPN name of SSH inside client-certificate TLS (D18). */
export const sshAlpn = 'gatehouse-ssh';
