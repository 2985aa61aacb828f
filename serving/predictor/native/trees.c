/* Walks a forest of decision trees. The trees are data, read from a verified model.json (compiled.py): nothing is compiled a model.

A walk is a chain of dependent loads, so sixteen are taken at once: sixteen trees for a single row, sixteen rows for a single tree.
A leaf leads to itself, so that all take the same number of steps and nothing is branched on: no number reaches its threshold, which
is infinite. Where all splits are on numbers and all of these are there and finite, a step is a comparison; it is more elsewhere.
Sums are float and in the trees' order, as XGBoost's are. */

#include <float.h>
#include <stdint.h>

#define LANES 16
#define MISSING_RIGHT 0x80000000u
#define SET 0x40000000u
#define LEAF 0x20000000u
#define FEATURE 0x1fffffffu

typedef struct {
    float value;     /* a threshold, or with SET the bits of a place in `sets` */
    uint32_t what;   /* the feature and the flags */
    uint32_t left;   /* the right child follows it; a leaf's own place */
    float leaf;      /* a leaf's value */
} Node;

/* Whether `x` is in a set: its number of words, then a bit a category. What is no category of the set is not in it. */
static inline uint32_t has(const uint32_t *set, float x) {
    if (!(x >= 0.0f && x < 16777216.0f)) return 0;
    uint32_t code = (uint32_t)x;
    return code / 32 < set[0] ? set[1 + code / 32] >> (code % 32) & 1u : 0;
}

static inline __attribute__((always_inline)) void walk(const Node *nodes, const uint32_t *sets, int plain, uint32_t *at,
                                                        const float *const *row, uint32_t steps) {
    for (uint32_t step = 0; step < steps; step++)
        for (int lane = 0; lane < LANES; lane++) {
            const Node *node = nodes + at[lane];
            const float x = row[lane][node->what & FEATURE];
            if (plain) {
                at[lane] = node->left + (x >= node->value);
                continue;
            }
            uint32_t right = !(x < node->value);
            if (node->what & SET) {
                union { float value; uint32_t place; } bits = {node->value};
                right = has(sets + bits.place, x);
            }
            const uint32_t missing = x != x;
            right = (right & ~missing) | (node->what >> 31 & missing);
            at[lane] = node->left + (right & ~(node->what / LEAF));
        }
}

static inline __attribute__((always_inline)) void sum(const Node *nodes, const uint32_t *sets, int plain, const uint32_t *roots,
                                                       const uint32_t *depths, const uint32_t *groups, uint32_t trees, uint32_t features,
                                                       uint32_t outputs, const float *rows, uint32_t count, float *out) {
    uint32_t at[LANES];
    const float *row[LANES];
    uint32_t first = 0;
    for (; first + LANES <= count; first += LANES) {
        for (int lane = 0; lane < LANES; lane++) row[lane] = rows + (uint64_t)(first + lane) * features;
        for (uint32_t tree = 0; tree < trees; tree++) {
            for (int lane = 0; lane < LANES; lane++) at[lane] = roots[tree];
            walk(nodes, sets, plain, at, row, depths[tree]);
            for (int lane = 0; lane < LANES; lane++) out[(uint64_t)(first + lane) * outputs + groups[tree]] += nodes[at[lane]].leaf;
        }
    }
    for (; first < count; first++) {
        for (int lane = 0; lane < LANES; lane++) row[lane] = rows + (uint64_t)first * features;
        for (uint32_t tree = 0; tree < trees; tree += LANES) {
            uint32_t lanes = trees - tree < LANES ? trees - tree : LANES, steps = 0;
            for (uint32_t lane = 0; lane < LANES; lane++) {
                uint32_t which = lane < lanes ? tree + lane : tree;
                at[lane] = roots[which];
                if (depths[which] > steps) steps = depths[which];
            }
            walk(nodes, sets, plain, at, row, steps);
            for (uint32_t lane = 0; lane < lanes; lane++) out[(uint64_t)first * outputs + groups[tree + lane]] += nodes[at[lane]].leaf;
        }
    }
}

/* Adds every tree's leaf to `out` [count, outputs]; `rows` is [count, features], NaN where a value is missing. */
void trees_add(const Node *nodes, const uint32_t *sets, uint32_t has_sets, const uint32_t *roots, const uint32_t *depths,
               const uint32_t *groups, uint32_t trees, uint32_t features, uint32_t outputs, const float *rows, uint32_t count, float *out) {
    uint32_t more = has_sets;
    for (uint64_t each = 0; each < (uint64_t)count * features; each++) more |= !(rows[each] <= FLT_MAX);
    if (more)
        sum(nodes, sets, 0, roots, depths, groups, trees, features, outputs, rows, count, out);
    else
        sum(nodes, sets, 1, roots, depths, groups, trees, features, outputs, rows, count, out);
}
