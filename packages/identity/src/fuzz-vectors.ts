/** Signatures that OpenSSH's kinds of keys made over the word `gatehouse`, so that ECDSA and RSA are fuzzed too. */

export interface SignatureVector {
  readonly name: string;
  /** Wire blob, base64. */
  readonly key: string;
  /** Wire signature over `gatehouse`, base64. */
  readonly signature: string;
}

export const signatureVectors: readonly SignatureVector[] = [
  {
    name: 'p256',
    key:
      'AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBMXZ3vcr4Y4Tg3svh3vE94vTWfhMZToshnRJ' +
      'j1WEEofoUzbPIZyjNdu5iv4tc4qRCeE1XdCprbJO0nPdX0j5Hu4=',
    signature:
      'AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAABIAAAAIGtxL1v2bHTdFv7jylAC4pNr83saXB1mhsv5Nf3SqQGAAAAA' +
      'IGOUR2a+GkoMg6Y9mEn3GujzCaW+RlTOl9nmoxydIooL',
  },
  {
    name: 'rsa',
    key:
      'AAAAB3NzaC1yc2EAAAADAQABAAABAQCjbtJYjKRAwstd5POZdwuyzDeCE4e7cmku7D37E8yy25GD/8Toq12ytP8J' +
      '3kTplZRKtnAfkKwlW6fs6iySvRJ5x55nDxhiy1hDqWU7+mSpL0fcsve3oP/UcOvm57LWa5VMraUvwkFmO9KZKhFS' +
      'LTGkKp6rYDcDpkLkQ/i32Wo599pcx/bs33sVNwY+efF3GMtKA5VOkG1NPQ85zJeVyIQqEt7wJeZpeukMlpCVpSJm' +
      'NV4vNNfo1f7bGNMzvGtZZ5dtotgEyV4hoQVXF0wDb7Q4nbF2TeCrbWl7qjreOATwHk41BTWkNKFKUwuwnd9hCJma' +
      'Y22OhZYnLztsOOqdxl9Z',
    signature:
      'AAAADHJzYS1zaGEyLTUxMgAAAQAvyU3bfI2lFRYTgIb4chIQR7KiuSu/ljLM++EmI2wDbS6+n1CALrGfd4QbJwjh' +
      'xx3T41sAw0yi4L3sTa08nrLOwmAS4b2+JGAk/ERgckdDzTwtVZeoJX7+yvc41G37faL0MzCGTTfCtNrfwRVrsXsR' +
      'EMxNMDPWZBClh9DjJYLjmeboyrxRY+QPMuijDGP/p+B4s6H1T/GVKfCp3j+MJnQzYMZ5w9Rnx+RoQN14JmedspZQ' +
      'dbwq69yDRAq2jNkJDBty1KfH/Hn93m3lPZE2ArsQWXnNYyzYUcNjIYjvyfMWHFePQbHRkn3iRHlW3f62xsM6Id1O' +
      'fxTlDLxw4q9TkbcE',
  },
];
