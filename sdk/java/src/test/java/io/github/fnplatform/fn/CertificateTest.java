package io.github.fnplatform.fn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.Date;
import java.util.List;
import org.junit.jupiter.api.Test;

class CertificateTest {
  @Test
  void signsItselfForLocalhostAndIsNoCa() throws Exception {
    Certificate made = Certificate.make();
    assertDoesNotThrow(() -> made.certificate().verify(made.certificate().getPublicKey(), "SunEC"));
    assertEquals(List.of(List.of(2, "localhost")), List.copyOf(made.certificate().getSubjectAlternativeNames()));
    assertEquals("CN=localhost,O=fn", made.certificate().getSubjectX500Principal().getName());
    assertEquals(-1, made.certificate().getBasicConstraints());
    assertEquals(List.of("1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1"), made.certificate().getExtendedKeyUsage());
    boolean[] usage = made.certificate().getKeyUsage();
    assertArrayEquals(new boolean[] {true, false, false, false, true}, java.util.Arrays.copyOf(usage, 5));
  }

  @Test
  void isValidNowAndForDecades() throws Exception {
    Certificate made = Certificate.make();
    for (Duration away : List.of(Duration.ZERO, Duration.ofDays(29 * 365)))
      assertDoesNotThrow(() -> made.certificate().checkValidity(Date.from(Instant.now().plus(away))));
  }

  @Test
  void isWrittenWithoutPadding() throws Exception {
    for (int each = 0; each < 8; each++) {
      Certificate made = Certificate.make();
      assertFalse(made.field().contains("="));
      assertArrayEquals(made.certificate().getEncoded(), Base64.getDecoder().decode(made.field()));
    }
  }
}
