import { X509Certificate } from "node:crypto";

/**
 * Why a file can't be that of the authorities to trust, as a sentence about "it"; undefined when it can. Node would skip in silence
 * whatever in it isn't a certificate in PEM form (RFC 7468), and then trust nobody.
 */
export function flawInAuthorities(text: string): string | undefined {
  const certificates = text.match(/-----BEGIN ([A-Z0-9 ]*CERTIFICATE)-----[^]*?-----END \1-----/g);
  if (certificates === null) return "it holds no certificate in PEM form";
  try {
    certificates.forEach((pem) => new X509Certificate(pem));
    return undefined;
  } catch {
    return "a certificate in it is damaged";
  }
}
