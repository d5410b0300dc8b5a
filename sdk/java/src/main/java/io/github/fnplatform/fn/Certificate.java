package io.github.fnplatform.fn;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.Signature;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Base64;

/**
 * The certificate of AutoMTLS: made anew for each process, its key never leaves it. P-256 and no CA, which Go, OpenSSL, BoringSSL and rustls
 * all take as it is. The JDK has no public way to make one, so its DER is written here.
 *
 * @see <a href="https://www.rfc-editor.org/rfc/rfc5280#section-4.1">RFC 5280, 4.1</a>
 */
record Certificate(PrivateKey key, X509Certificate certificate) {
  private static final Duration VALID = Duration.ofDays(30 * 365);
  private static final Duration CLOCK_SKEW = Duration.ofSeconds(30);
  private static final int SEQUENCE = 0x30;
  private static final int SET = 0x31;
  private static final int BIT_STRING = 0x03;
  private static final int OCTET_STRING = 0x04;

  static Certificate make() throws GeneralSecurityException {
    KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
    generator.initialize(new ECGenParameterSpec("secp256r1"));
    KeyPair pair = generator.generateKeyPair();
    byte[] algorithm = der(SEQUENCE, identifier(1, 2, 840, 10045, 4, 3, 2)); // ecdsa-with-SHA256
    byte[] body = body(pair.getPublic(), algorithm);
    Signature signature = Signature.getInstance("SHA256withECDSA");
    signature.initSign(pair.getPrivate());
    signature.update(body);
    return new Certificate(pair.getPrivate(), parse(der(SEQUENCE, body, algorithm, der(BIT_STRING, new byte[1], signature.sign()))));
  }

  /** The host's certificate. */
  static X509Certificate parse(byte[] encoded) throws GeneralSecurityException {
    return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(encoded));
  }

  /** How the handshake line carries it. A Go host refuses padding. */
  String field() throws GeneralSecurityException {
    return Base64.getEncoder().withoutPadding().encodeToString(certificate.getEncoded());
  }

  private static byte[] body(PublicKey publicKey, byte[] algorithm) {
    Instant now = Instant.now();
    byte[] name =
        der(
            SEQUENCE,
            der(SET, der(SEQUENCE, identifier(2, 5, 4, 10), text(0x0c, "fn"))),
            der(SET, der(SEQUENCE, identifier(2, 5, 4, 3), text(0x0c, "localhost"))));
    return der(
        SEQUENCE,
        der(0xa0, der(0x02, new byte[] {2})), // version 3
        der(0x02, new BigInteger(127, new SecureRandom()).toByteArray()),
        algorithm,
        name,
        der(SEQUENCE, time(now.minus(CLOCK_SKEW)), time(now.plus(VALID))),
        name,
        publicKey.getEncoded(),
        der(0xa3, der(SEQUENCE, extensions())));
  }

  private static byte[] extensions() {
    byte[] critical = der(0x01, new byte[] {(byte) 0xff});
    return joined(
        der(SEQUENCE, identifier(2, 5, 29, 17), der(OCTET_STRING, der(SEQUENCE, text(0x82, "localhost")))), // subjectAltName
        der(SEQUENCE, identifier(2, 5, 29, 19), critical, der(OCTET_STRING, der(SEQUENCE))), // basicConstraints: no CA
        // keyUsage: digitalSignature and keyAgreement, the first and the fifth bit of which three are unused
        der(SEQUENCE, identifier(2, 5, 29, 15), critical, der(OCTET_STRING, der(BIT_STRING, new byte[] {3, (byte) 0x88}))),
        der(SEQUENCE, identifier(2, 5, 29, 37), der(OCTET_STRING, der(SEQUENCE, purpose(2), purpose(1))))); // client and server
  }

  private static byte[] purpose(int number) {
    return identifier(1, 3, 6, 1, 5, 5, 7, 3, number);
  }

  /** Years from 2050 have four digits. */
  private static byte[] time(Instant instant) {
    boolean isLate = instant.atOffset(ZoneOffset.UTC).getYear() >= 2050;
    DateTimeFormatter format = DateTimeFormatter.ofPattern(isLate ? "yyyyMMddHHmmss'Z'" : "yyMMddHHmmss'Z'").withZone(ZoneOffset.UTC);
    return text(isLate ? 0x18 : 0x17, format.format(instant));
  }

  private static byte[] text(int tag, String text) {
    return der(tag, text.getBytes(StandardCharsets.US_ASCII));
  }

  private static byte[] identifier(int... numbers) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    bytes.write(numbers[0] * 40 + numbers[1]);
    for (int at = 2; at < numbers.length; at++)
      for (int shift = 28; shift >= 0; shift -= 7) {
        int rest = numbers[at] >>> shift;
        if (rest != 0 || shift == 0) bytes.write((rest & 0x7f) | (shift == 0 ? 0 : 0x80));
      }
    return der(0x06, bytes.toByteArray());
  }

  /** Tag, length and value, whose length has two bytes at most. */
  private static byte[] der(int tag, byte[]... parts) {
    byte[] value = joined(parts);
    int length = value.length;
    byte[] head =
        length < 0x80
            ? new byte[] {(byte) tag, (byte) length}
            : length < 0x100
                ? new byte[] {(byte) tag, (byte) 0x81, (byte) length}
                : new byte[] {(byte) tag, (byte) 0x82, (byte) (length >> 8), (byte) length};
    return joined(head, value);
  }

  private static byte[] joined(byte[]... parts) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    for (byte[] part : parts) bytes.writeBytes(part);
    return bytes.toByteArray();
  }
}
