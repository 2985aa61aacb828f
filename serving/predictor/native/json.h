/* The parts of JSON that a usual body is made of. Each function goes past what it takes, and answers NULL where something else is there.

A text ends with a NUL, which nothing here takes, so a scan cannot leave it. */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *text;
    size_t length;
} Text;

static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
#if LDBL_MANT_DIG == 64
static const long double LONG_POWERS[] = {1e0L,  1e1L,  1e2L,  1e3L,  1e4L,  1e5L,  1e6L,  1e7L,  1e8L,  1e9L,  1e10L, 1e11L, 1e12L, 1e13L,
                                          1e14L, 1e15L, 1e16L, 1e17L, 1e18L, 1e19L, 1e20L, 1e21L, 1e22L, 1e23L, 1e24L, 1e25L, 1e26L, 1e27L};
#endif

static inline const char *space(const char *p) {
    while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') p++;
    return p;
}

/* `what` and the spaces around it; NULL stays NULL. */
static inline const char *past(const char *p, char what) {
    if (!p) return NULL;
    p = space(p);
    return *p == what ? space(p + 1) : NULL;
}

static inline int digit(char c) { return (unsigned char)(c - '0') < 10; }

/* digits * 10^power as the nearest double. By one operation on exact operands where they are (Clinger 1990, "How to read floating point
numbers accurately"); else by 64 bits, of which the last eleven are cut off: right unless they are exactly one half. */
static inline const char *nearest(const char *start, const char *end, uint64_t digits, int power, double *value) {
    if (power == 0 || (digits <= 1ull << 53 && power >= -22 && power <= 22)) {
        *value = power < 0 ? (double)digits / POWERS[-power] : (double)digits * POWERS[power];
        return end;
    }
#if LDBL_MANT_DIG == 64
    if (power >= -27 && power <= 27) {
        union { long double value; uint64_t bits; } found = {power < 0 ? (long double)digits / LONG_POWERS[-power] : (long double)digits * LONG_POWERS[power]};
        *value = (double)found.value;
        return (found.bits & 0x7ff) == 0x400 ? NULL : end;
    }
    (void)start;
    return NULL;
#else
    char *stop;
    *value = fabs(strtod(start, &stop));
    return stop == end ? end : NULL;
#endif
}

/* Another digit; 0 where it is the twentieth that counts, of which 64 bits may lose some. */
static inline int more_digits(uint64_t *digits, int *count, char c) {
    if ((*digits || c != '0') && ++*count > 19) return 0;
    *digits = *digits * 10 + (uint64_t)(c - '0');
    return 1;
}

static inline const char *number(const char *p, double *value) {
    const char *start = p;
    uint64_t digits = 0;
    int count = 0, power = 0;
    const int minus = *p == '-';
    p += minus;
    if (!digit(*p) || (*p == '0' && digit(p[1]))) return NULL;
    for (; digit(*p); p++)
        if (!more_digits(&digits, &count, *p)) return NULL;
    if (*p == '.') {
        p++;
        if (!digit(*p)) return NULL;
        for (; digit(*p); p++, power--)
            if (!more_digits(&digits, &count, *p)) return NULL;
    }
    if (*p == 'e' || *p == 'E') {
        int given = 0;
        p++;
        const int below = *p == '-';
        if (*p == '-' || *p == '+') p++;
        if (!digit(*p)) return NULL;
        for (; digit(*p); p++)
            if ((given = given * 10 + (*p - '0')) > 999) return NULL;
        power += below ? -given : given;
    }
    *value = 0;
    if (digits && !nearest(start, p, digits, power, value)) return NULL;
    if (minus) *value = -*value;
    return p;
}

/* ASCII without escapes after an opening quote, up to and past the closing one. */
static inline const char *text(const char *p, Text *found) {
    found->text = p;
    while ((unsigned char)*p >= ' ' && (unsigned char)*p < 127 && *p != '"' && *p != '\\') p++;
    if (*p != '"') return NULL;
    found->length = (size_t)(p - found->text);
    return p + 1;
}

/* `given`, letter by letter. */
static inline const char *word(const char *p, const char *given) {
    while (*given)
        if (*p++ != *given++) return NULL;
    return p;
}
