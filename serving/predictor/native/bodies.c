/* Reads the usual body of a request straight into the model's matrix; all others are left to protocol.py, which says what a request means.

A body is usual if it is JSON without escapes, comments on itself (parameters, outputs), nested values or numbers of more than 19 digits,
and if each row has each feature once. Whatever else is seen, wrong or only rare, is answered -1: here nothing is refused and nothing
is guessed. */

#include "json.h"

#define MOST_OTHERS 8
#define RARE ((int64_t)-1)

typedef struct {
    uint32_t features;
    const char *names;            /* each with the quote that ends it */
    const uint32_t *name_ends;    /* [features] */
    const uint32_t *first;        /* [features + 1]: the places of a feature's categories; none where it is a number */
    const char *categories;       /* each with the quote that ends it */
    const uint32_t *category_ends;
    uint32_t *seen;               /* [features], for this call alone */
} Schema;

/* What a V2 datatype holds. */
typedef struct {
    const char *name;
    double lowest, highest;
    int whole;
} Datatype;

#define BITS(n) {"INT" #n "\"", -(double)(1ull << (n - 1)), (double)((1ull << (n - 1)) - 1), 1}, {"UINT" #n "\"", 0, (double)((1ull << n) - 1), 1}
static const Datatype DATATYPES[] = {
    {"FP64\"", -FLT_MAX, FLT_MAX, 0}, {"FP32\"", -FLT_MAX, FLT_MAX, 0}, {"FP16\"", -65504, 65504, 0}, BITS(8), BITS(16), BITS(32),
    /* A whole number that a double does not hold is rare. */
    {"INT64\"", -9007199254740992, 9007199254740992, 1}, {"UINT64\"", 0, 9007199254740992, 1},
};

/* The place of what begins at `p`, quote and all, among the entries from `first` to before `last`; -1 where it is none of them. */
static inline int64_t place(const char *p, const char *end, const char *entries, const uint32_t *ends, uint32_t first, uint32_t last) {
    for (uint32_t entry = first; entry < last; entry++) {
        const uint32_t begin = entry ? ends[entry - 1] : 0, length = ends[entry] - begin;
        if (end - p >= length && !memcmp(p, entries + begin, length)) return entry;
    }
    return -1;
}

static inline int category(const Schema *schema, uint32_t feature) { return schema->first[feature] < schema->first[feature + 1]; }

/* A feature's value: NaN for null and for a category that the model does not know. */
static inline const char *value(const Schema *schema, uint32_t feature, const char *p, const char *end, float *out) {
    if (*p == 'n') {
        *out = NAN;
        return word(p, "null");
    }
    if (!category(schema, feature)) {
        double found;
        p = number(p, &found);
        if (!p || !(fabs(found) <= FLT_MAX)) return NULL;
        *out = (float)found;
        return p;
    }
    if (*p++ != '"') return NULL;
    const uint32_t first = schema->first[feature];
    const int64_t code = place(p, end, schema->categories, schema->category_ends, first, schema->first[feature + 1]);
    if (code < 0) {
        Text other;
        *out = NAN;
        return text(p, &other);
    }
    *out = (float)(code - first);
    return p + (schema->category_ends[code] - (code ? schema->category_ends[code - 1] : 0));
}

/* A value of a column that the model does not take: a number, a text, true, false or null. */
static const char *other_value(const char *p) {
    double ignored;
    Text text_ignored;
    switch (*p) {
        case '"': return text(p + 1, &text_ignored);
        case 't': return word(p, "true");
        case 'f': return word(p, "false");
        case 'n': return word(p, "null");
        default: return number(p, &ignored);
    }
}

/* Remembers the name of a column that the model does not take; 0 where it is known already, or they are too many. */
static int remembered(Text *others, int *count, Text name) {
    if (*count == MOST_OTHERS) return 0;
    for (int one = 0; one < *count; one++)
        if (others[one].length == name.length && !memcmp(others[one].text, name.text, name.length)) return 0;
    others[(*count)++] = name;
    return 1;
}

/* The feature whose name begins at `p`: most often the one after the last. */
static inline int64_t feature_at(const Schema *schema, uint32_t expected, const char *p, const char *end) {
    if (expected < schema->features && place(p, end, schema->names, schema->name_ends, expected, expected + 1) >= 0) return expected;
    return place(p, end, schema->names, schema->name_ends, 0, schema->features);
}

static inline const char *past_name(const Schema *schema, int64_t feature, const char *p) {
    return p + (schema->name_ends[feature] - (feature ? schema->name_ends[feature - 1] : 0));
}

static const char *row_of(const Schema *schema, uint32_t row, const char *p, const char *end, float *out) {
    Text others[MOST_OTHERS];
    int other_count = 0;
    uint32_t found = 0, expected = 0;
    if (!(p = past(p, '{'))) return NULL;
    for (;;) {
        if (*p++ != '"') return NULL;
        const int64_t feature = feature_at(schema, expected, p, end);
        if (feature >= 0) {
            if (schema->seen[feature] == row + 1) return NULL;
            schema->seen[feature] = row + 1;
            found++;
            expected = (uint32_t)feature + 1;
            p = past(past_name(schema, feature, p), ':');
            if (p) p = value(schema, (uint32_t)feature, p, end, out + feature);
        } else {
            Text name;
            p = text(p, &name);
            if (!p || !remembered(others, &other_count, name)) return NULL;
            if ((p = past(p, ':'))) p = other_value(p);
        }
        if (!p) return NULL;
        p = space(p);
        if (*p == '}') return found == schema->features ? p + 1 : NULL;
        if (!(p = past(p, ','))) return NULL;
    }
}

/* {"instances": [{name: value, ...}, ...]}: the number of rows, which `out` [most, features] then holds; -1 where the body is rare. */
int64_t body_v1(const Schema *schema, const char *body, uint64_t size, float *out, uint32_t most) {
    const char *end = body + size, *p = past(body, '{');
    memset(schema->seen, 0, schema->features * sizeof *schema->seen);
    if (!p || !(p = past(word(p, "\"instances\""), ':')) || !(p = past(p, '['))) return RARE;
    for (uint32_t row = 0; row < most; row++) {
        p = row_of(schema, row, p, end, out + (uint64_t)row * schema->features);
        if (!p) return RARE;
        p = space(p);
        if (*p == ']') {
            p = past(p + 1, '}');
            return p == end ? (int64_t)row + 1 : RARE;
        }
        if (!(p = past(p, ','))) return RARE;
    }
    return RARE;
}

typedef struct {
    Text name;
    int64_t feature;              /* -1 where the model does not take the column */
    uint32_t rows;
    const Datatype *datatype;     /* NULL for BYTES */
} Tensor;

/* [n] or [n, 1]. */
static const char *shape(const char *p, uint32_t *rows) {
    uint64_t found = 0;
    if (!(p = past(p, '[')) || *p == '0') return NULL;
    for (; digit(*p); p++)
        if ((found = found * 10 + (uint64_t)(*p - '0')) >= UINT32_MAX) return NULL;
    if (!found) return NULL;
    *rows = (uint32_t)found;
    p = space(p);
    if (*p == ',') {
        p = space(p + 1);
        if (*p++ != '1') return NULL;
    }
    p = space(p);
    return *p == ']' ? p + 1 : NULL;
}

static const char *datatype(const char *p, const Datatype **found) {
    *found = NULL;
    if (!p || *p++ != '"') return NULL;
    const char *after = word(p, "BYTES\"");
    for (size_t one = 0; !after && one < sizeof DATATYPES / sizeof *DATATYPES; one++)
        if ((after = word(p, DATATYPES[one].name))) *found = DATATYPES + one;
    return after;
}

static inline const char *one_value(const Schema *schema, const Tensor *tensor, const char *p, const char *end, float *out) {
    if (*p == 'n') {
        *out = NAN;
        return word(p, "null");
    }
    if (!tensor->datatype) {
        Text ignored;
        if (tensor->feature >= 0) return category(schema, (uint32_t)tensor->feature) ? value(schema, (uint32_t)tensor->feature, p, end, out) : NULL;
        return *p == '"' ? text(p + 1, &ignored) : NULL;
    }
    double found;
    p = number(p, &found);
    if (!p || !(found >= tensor->datatype->lowest && found <= tensor->datatype->highest)) return NULL;
    if (tensor->datatype->whole && found != floor(found)) return NULL;
    *out = (float)found;
    return p;
}

static const char *data(const Schema *schema, const Tensor *tensor, const char *p, const char *end, float *out) {
    const uint64_t step = tensor->feature < 0 ? 0 : schema->features;
    float ignored, *to = tensor->feature < 0 ? &ignored : out + tensor->feature;
    if (!(p = past(p, '['))) return NULL;
    for (uint32_t row = 0; row < tensor->rows; row++, to += step) {
        if (row && !(p = past(p, ','))) return NULL;
        if (!(p = one_value(schema, tensor, p, end, to))) return NULL;
    }
    p = space(p);
    return *p == ']' ? p + 1 : NULL;
}

/* {"name", "shape", "datatype", "data"}: in this order but for shape and datatype, as clients write it. */
static const char *tensor_of(const Schema *schema, Tensor *tensor, uint32_t *rows, uint32_t most, uint32_t expected, const char *p, const char *end,
                             float *out) {
    if (!(p = past(p, '{')) || !(p = past(word(p, "\"name\""), ':')) || *p++ != '"') return NULL;
    tensor->feature = feature_at(schema, expected, p, end);
    if (tensor->feature >= 0) {
        if (schema->seen[tensor->feature]++) return NULL;
        p = past_name(schema, tensor->feature, p);
    } else if (!(p = text(p, &tensor->name)))
        return NULL;
    if (!(p = past(p, ','))) return NULL;
    const char *shape_at = word(p, "\"shape\"");
    if (!(p = shape_at ? shape(past(shape_at, ':'), &tensor->rows) : datatype(past(word(p, "\"datatype\""), ':'), &tensor->datatype))) return NULL;
    if (!(p = past(p, ','))) return NULL;
    if (!(p = shape_at ? datatype(past(word(p, "\"datatype\""), ':'), &tensor->datatype) : shape(past(word(p, "\"shape\""), ':'), &tensor->rows)))
        return NULL;
    if (*rows && *rows != tensor->rows) return NULL;
    *rows = tensor->rows;
    if (tensor->rows > most || !(p = past(p, ',')) || !(p = past(word(p, "\"data\""), ':'))) return NULL;
    if (tensor->datatype && tensor->feature >= 0 && category(schema, (uint32_t)tensor->feature)) return NULL;
    if (!(p = data(schema, tensor, p, end, out))) return NULL;
    p = space(p);
    return *p == '}' ? p + 1 : NULL;
}

static const char *inputs(const Schema *schema, uint32_t *rows, uint32_t most, const char *p, const char *end, float *out) {
    Text others[MOST_OTHERS];
    int other_count = 0;
    uint32_t found = 0, expected = 0;
    if (!(p = past(p, '['))) return NULL;
    for (;;) {
        Tensor tensor;
        if (!(p = tensor_of(schema, &tensor, rows, most, expected, p, end, out))) return NULL;
        if (tensor.feature < 0) {
            if (!remembered(others, &other_count, tensor.name)) return NULL;
        } else {
            found++;
            expected = (uint32_t)tensor.feature + 1;
        }
        p = space(p);
        if (*p == ']') return found == schema->features ? p + 1 : NULL;
        if (!(p = past(p, ','))) return NULL;
    }
}

/* {"id": "...", "inputs": [{name, shape, datatype, data}, ...]}: as `body_v1`; `id` becomes the place and the length of the id's text in the
body, or zeros. */
int64_t body_v2(const Schema *schema, const char *body, uint64_t size, float *out, uint32_t most, uint64_t *id) {
    const char *end = body + size, *p = past(body, '{');
    uint32_t rows = 0;
    id[0] = id[1] = 0;
    memset(schema->seen, 0, schema->features * sizeof *schema->seen);
    while (p) {
        const char *after = word(p, "\"inputs\"");
        if (after) {
            if (rows || !(after = inputs(schema, &rows, most, past(after, ':'), end, out))) return RARE;
        } else {
            Text text_of;
            if (id[0] || !(after = past(word(p, "\"id\""), ':')) || *after != '"' || !(after = text(after + 1, &text_of))) return RARE;
            id[0] = (uint64_t)(text_of.text - body);
            id[1] = text_of.length;
        }
        p = space(after);
        if (*p == '}') return rows && space(p + 1) == end ? (int64_t)rows : RARE;
        p = past(p, ',');
    }
    return RARE;
}
