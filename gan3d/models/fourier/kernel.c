/*
 * Discrete Fourier transforms of small 3-D arrays, and the products of their spectra; what they are for: convolution.py.
 *
 * Along one axis of odd period N, values at j and -j (mod N) are joined to an even part v[j] + v[-j] and an odd part v[j] - v[-j].
 * Even parts meet cosines only, odd parts sines only, so a transform is four real matrix products of half the size: about as many
 * operations as an FFT needs at these lengths (27: 830 against 630 vector operations), without its shuffling, and for any period.
 * All is done for LANES channels at a time, one in each lane of a vector register.
 *
 * Layouts: values (batch, x, y, z, channels); spectra (batch, fx, fy, fz, blocks, 2, LANES) with fz <= (Nz - 1) / 2, a block being
 * LANES channels, real parts before imaginary ones. The last block is filled up with zeros.
 */
#include <math.h>
#include <stdlib.h>

enum {
    LANES = 8,
    ROWS = 4,             /* of a matrix computed together: what the registers hold */
    LONGEST_PERIOD = 255, /* convolution.py knows this number */
    MOST_PAIRS = (LONGEST_PERIOD + 1) / 2,
    SHOWERS = 4,          /* multiplied together with one weight */
    AHEAD = 2,            /* places for which memory is fetched in advance */
    OUT_OF_MEMORY = 1,
    INTERFACE = 1, /* to be raised with any change of a function's arguments or of a layout */
};

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef float loose_lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float))));

/* Along an axis: `count` values at positions low, low + 1, ... modulo `period`, which is odd. */
typedef struct {
    int count, low, period;
} Axis;

/* Where the positions j and -j are stored, j = 0 ... pairs - 1; -1 where they are not. */
typedef struct {
    int pairs, up[MOST_PAIRS], down[MOST_PAIRS];
} Places;

/* Cosines and sines of 2 pi row column / period with a factor; ROWS rows side by side. */
typedef struct {
    int rows, columns;
    float *cosines, *sines;
} Table;

/* One axis of a transform: its values, its frequencies, the matrices from the ones to the others. */
typedef struct {
    int count, period;
    Places values, frequencies;
    Table table;
} Stage;

/* Even and odd parts of two lines (of a complex line: real and imaginary), and their products with cosines and sines. */
typedef struct {
    lanes even[2][MOST_PAIRS], odd[2][MOST_PAIRS];
    lanes cosine[2][MOST_PAIRS + ROWS], sine[2][MOST_PAIRS + ROWS];
} Lines;

/* What one thread works in: lines, a plane behind the transform along z, all planes behind that along y. */
typedef struct {
    Lines lines;
    lanes space[];
} Workspace;

typedef struct {
    Stage stages[3];
    int channels, blocks, half;
    long line, plane, volume;    /* floats of one line, plane, shower of values */
    long row, slab;              /* lanes of one transformed line, plane */
    long frequency, level, whole; /* floats of one frequency, one fx, one shower of a spectrum */
} Plan;

static inline int pairs_of(int period) { return (period + 1) / 2; }

/* Where a position is stored, or -1. */
static int place(Axis axis, int position) {
    int at = ((position - axis.low) % axis.period + axis.period) % axis.period;
    return at < axis.count ? at : -1;
}

/* Positions beyond the last pair that holds a value are left out. */
static Places places(Axis axis) {
    Places result = {1, {place(axis, 0)}, {-1}};
    for (int j = 1; j < pairs_of(axis.period); j++) {
        result.up[j] = place(axis, j);
        result.down[j] = place(axis, -j);
        if (result.up[j] >= 0 || result.down[j] >= 0) result.pairs = j + 1;
    }
    return result;
}

static Table make_table(int rows, int columns, int period, double first, double others) {
    Table table = {(rows + ROWS - 1) / ROWS * ROWS, columns, NULL, NULL};
    size_t size = (size_t)table.rows * columns;
    table.cosines = malloc(2 * size * sizeof(float));
    if (!table.cosines) return table;
    table.sines = table.cosines + size;
    for (int row = 0; row < table.rows; row++)
        for (int column = 0; column < columns; column++) {
            double angle = 2 * M_PI * (row * column % period) / period, factor = column ? others : first;
            size_t at = ((size_t)(row / ROWS) * columns + column) * ROWS + row % ROWS;
            table.cosines[at] = factor * cos(angle);
            table.sines[at] = factor * sin(angle);
        }
    return table;
}

static Plan make_plan(const Axis *axes, int channels, int to_values) {
    Plan plan = {.channels = channels, .blocks = (channels + LANES - 1) / LANES, .half = pairs_of(axes[2].period)};
    for (int i = 0; i < 3; i++) {
        Stage *stage = &plan.stages[i];
        int period = axes[i].period, half = pairs_of(period);
        stage->count = axes[i].count;
        stage->period = period;
        stage->values = places(axes[i]);
        stage->frequencies = places((Axis){period, 0, period});
        /* Along z only half of the frequencies are kept: the others are their complex conjugates. */
        stage->table = to_values ? make_table(stage->values.pairs, half, period, 1.0 / period, (i < 2 ? 1.0 : 2.0) / period)
                                 : make_table(half, stage->values.pairs, period, 1, 1);
    }
    plan.line = (long)axes[2].count * channels;
    plan.plane = axes[1].count * plan.line;
    plan.volume = axes[0].count * plan.plane;
    plan.row = 2L * plan.half;
    plan.slab = axes[1].period * plan.row;
    plan.frequency = 2L * LANES * plan.blocks;
    plan.level = (long)axes[1].period * plan.half * plan.frequency;
    plan.whole = axes[0].period * plan.level;
    return plan;
}

static int is_complete(const Plan *plan) {
    return plan->stages[0].table.cosines && plan->stages[1].table.cosines && plan->stages[2].table.cosines;
}

static void drop_plan(Plan *plan) {
    for (int i = 0; i < 3; i++) free(plan->stages[i].table.cosines);
}

static Workspace *make_workspace(const Plan *plan) {
    size_t size = sizeof(Workspace) + sizeof(lanes) * (plan->stages[1].count * plan->row + plan->stages[0].count * plan->slab);
    return aligned_alloc(64, (size + 63) / 64 * 64);
}

static inline lanes load(const float *at, int count) {
    if (count >= LANES) return *(const loose_lanes *)at;
    lanes result = {0};
    for (int i = 0; i < count; i++) result[i] = at[i];
    return result;
}

static inline void store(float *at, lanes values, int count) {
    if (count >= LANES) *(loose_lanes *)at = values;
    else
        for (int i = 0; i < count; i++) at[i] = values[i];
}

/* Cosines times even parts and sines times odd parts, of both lines. */
static void half_products(const Table *table, Lines *l) {
    for (int row = 0; row < table->rows; row += ROWS) {
        const float *cosines = table->cosines + row * table->columns, *sines = table->sines + row * table->columns;
        lanes c0[ROWS], c1[ROWS], s0[ROWS], s1[ROWS];
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++) {
            c0[i] = cosines[i] * l->even[0][0];
            c1[i] = cosines[i] * l->even[1][0];
            s0[i] = sines[i] * l->odd[0][0];
            s1[i] = sines[i] * l->odd[1][0];
        }
        for (int column = 1; column < table->columns; column++) {
            lanes e0 = l->even[0][column], e1 = l->even[1][column], o0 = l->odd[0][column], o1 = l->odd[1][column];
            cosines += ROWS;
            sines += ROWS;
#pragma GCC unroll 8
            for (int i = 0; i < ROWS; i++) {
                c0[i] += cosines[i] * e0;
                c1[i] += cosines[i] * e1;
                s0[i] += sines[i] * o0;
                s1[i] += sines[i] * o1;
            }
        }
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++) {
            l->cosine[0][row + i] = c0[i];
            l->cosine[1][row + i] = c1[i];
            l->sine[0][row + i] = s0[i];
            l->sine[1][row + i] = s1[i];
        }
    }
}

/* Even and odd parts of the values at `stride` floats from each other; `count` lanes of each are there. */
static inline __attribute__((always_inline)) void split(Lines *l, int which, const float *at, long stride, const Places *from, int count) {
    lanes zero = {0};
    l->even[which][0] = from->up[0] < 0 ? zero : load(at + from->up[0] * stride, count);
    l->odd[which][0] = zero;
    for (int j = 1; j < from->pairs; j++) {
        lanes up = from->up[j] < 0 ? zero : load(at + from->up[j] * stride, count);
        lanes down = from->down[j] < 0 ? zero : load(at + from->down[j] * stride, count);
        l->even[which][j] = up + down;
        l->odd[which][j] = up - down;
    }
}

/* A complex line from `in` to `out`, whose elements are `stride` floats apart, imaginary parts LANES floats behind real ones. */
static inline __attribute__((always_inline)) void complex_line(const Stage *stage, Lines *l, const float *in, long in_stride, float *out,
                                                               long out_stride, int to_values) {
    const Places *from = to_values ? &stage->frequencies : &stage->values, *to = to_values ? &stage->values : &stage->frequencies;
    split(l, 0, in, in_stride, from, LANES);
    split(l, 1, in + LANES, in_stride, from, LANES);
    half_products(&stage->table, l);
    for (int j = 0; j < to->pairs; j++) {
        lanes re = l->cosine[0][j], im = l->cosine[1][j];
        lanes cross_re = to_values ? -l->sine[1][j] : l->sine[1][j], cross_im = to_values ? -l->sine[0][j] : l->sine[0][j];
        if (to->up[j] >= 0) {
            float *at = out + to->up[j] * out_stride;
            *(loose_lanes *)at = re + cross_re;
            *(loose_lanes *)(at + LANES) = im - cross_im;
        }
        if (j && to->down[j] >= 0) {
            float *at = out + to->down[j] * out_stride;
            *(loose_lanes *)at = re - cross_re;
            *(loose_lanes *)(at + LANES) = im + cross_im;
        }
    }
}

/* Two real lines along z to half of their frequencies; `second` may be `first`. */
static void real_lines_to_frequencies(const Plan *plan, Lines *l, const float *first, const float *second, int count, lanes *out) {
    const Stage *z = &plan->stages[2];
    split(l, 0, first, plan->channels, &z->values, count);
    split(l, 1, second, plan->channels, &z->values, count);
    half_products(&z->table, l);
    for (int which = 0; which <= (first != second); which++, out += plan->row)
        for (int f = 0; f < plan->half; f++) {
            out[2 * f] = l->cosine[which][f];
            out[2 * f + 1] = -l->sine[which][f];
        }
}

/* Half of the frequencies of two real lines along z to their values plus `bias`; `second` may be `first`. */
static void frequencies_to_real_lines(const Plan *plan, Lines *l, const lanes *in, lanes bias, int count, float *first, float *second) {
    const Stage *z = &plan->stages[2];
    const lanes *other = first == second ? in : in + plan->row;
    for (int f = 0; f < plan->half; f++) {
        l->even[0][f] = in[2 * f];
        l->odd[0][f] = in[2 * f + 1];
        l->even[1][f] = other[2 * f];
        l->odd[1][f] = other[2 * f + 1];
    }
    half_products(&z->table, l);
    for (int which = 0; which <= (first != second); which++) {
        float *out = which ? second : first;
        for (int j = 0; j < z->values.pairs; j++) {
            int up = z->values.up[j], down = z->values.down[j];
            if (up >= 0) store(out + (long)up * plan->channels, l->cosine[which][j] - l->sine[which][j] + bias, count);
            if (j && down >= 0) store(out + (long)down * plan->channels, l->cosine[which][j] + l->sine[which][j] + bias, count);
        }
    }
}

/* Ask for the memory of two lines of values that will be used soon. */
static inline void fetch_lines(const Plan *plan, const float *line) {
    for (int z = 0; z < 2 * plan->stages[2].count; z++) __builtin_prefetch(line + AHEAD * plan->line + (long)z * plan->channels);
}

/* Ask for the memory of the frequencies along x that will be used soon. */
static inline void fetch_frequencies(const Plan *plan, const float *at) {
    for (int fx = 0; fx < plan->stages[0].period; fx++) __builtin_prefetch(at + AHEAD * plan->frequency + fx * plan->level);
}

/* LANES channels of one shower. */
static void to_spectrum(const Plan *plan, Workspace *w, const float *values, int count, float *spectrum) {
    const Stage *x = &plan->stages[0], *y = &plan->stages[1];
    lanes *plane = w->space, *planes = plane + y->count * plan->row;
    for (int i = 0; i < x->count; i++) {
        for (int j = 0; j < y->count; j += 2) {
            const float *line = values + i * plan->plane + j * plan->line;
            fetch_lines(plan, line);
            real_lines_to_frequencies(plan, &w->lines, line, j + 1 < y->count ? line + plan->line : line, count, plane + j * plan->row);
        }
        for (int f = 0; f < plan->half; f++)
            complex_line(y, &w->lines, (float *)(plane + 2 * f), plan->row * LANES, (float *)(planes + i * plan->slab + 2 * f),
                         plan->row * LANES, 0);
    }
    for (long f = 0; f < y->period * plan->half; f++) {
        fetch_frequencies(plan, spectrum + f * plan->frequency);
        complex_line(x, &w->lines, (float *)(planes + 2 * f), plan->slab * LANES, spectrum + f * plan->frequency, plan->level, 0);
    }
}

/* LANES channels of one shower. */
static void to_values(const Plan *plan, Workspace *w, const float *spectrum, lanes bias, int count, float *values) {
    const Stage *x = &plan->stages[0], *y = &plan->stages[1];
    lanes *plane = w->space, *planes = plane + y->count * plan->row;
    for (long f = 0; f < y->period * plan->half; f++) {
        fetch_frequencies(plan, spectrum + f * plan->frequency);
        complex_line(x, &w->lines, spectrum + f * plan->frequency, plan->level, (float *)(planes + 2 * f), plan->slab * LANES, 1);
    }
    for (int i = 0; i < x->count; i++) {
        for (int f = 0; f < plan->half; f++)
            complex_line(y, &w->lines, (float *)(planes + i * plan->slab + 2 * f), plan->row * LANES, (float *)(plane + 2 * f),
                         plan->row * LANES, 1);
        for (int j = 0; j < y->count; j += 2) {
            float *line = values + i * plan->plane + j * plan->line;
            fetch_lines(plan, line);
            frequencies_to_real_lines(plan, &w->lines, plane + j * plan->row, bias, count, line,
                                      j + 1 < y->count ? line + plan->line : line);
        }
    }
}

/* By which a build of another source is known. */
int gan3d_interface(void) { return INTERFACE; }

/* Spectra of `batch` showers; axes are those of the values. */
int gan3d_spectra(const float *values, int batch, int channels, const Axis *axes, float *spectra, int threads) {
    Plan plan = make_plan(axes, channels, 0);
    int is_short = !is_complete(&plan);
#pragma omp parallel num_threads(threads) if (!is_short)
    {
        Workspace *w = make_workspace(&plan);
        if (!w) {
#pragma omp atomic write
            is_short = 1;
        }
#pragma omp for schedule(static)
        for (int job = 0; job < batch * plan.blocks; job++) {
            int shower = job / plan.blocks, block = job % plan.blocks;
            if (w && is_complete(&plan))
                to_spectrum(&plan, w, values + shower * plan.volume + block * LANES, channels - block * LANES,
                            spectra + shower * plan.whole + block * 2 * LANES);
        }
        free(w);
    }
    drop_plan(&plan);
    return is_short ? OUT_OF_MEMORY : 0;
}

/* Values, at the positions of `axes`, of `batch` spectra, plus a bias per channel (which may be NULL). */
int gan3d_values(const float *spectra, int batch, int channels, const Axis *axes, const float *bias, float *values, int threads) {
    Plan plan = make_plan(axes, channels, 1);
    int is_short = !is_complete(&plan);
#pragma omp parallel num_threads(threads) if (!is_short)
    {
        Workspace *w = make_workspace(&plan);
        if (!w) {
#pragma omp atomic write
            is_short = 1;
        }
#pragma omp for schedule(static)
        for (int job = 0; job < batch * plan.blocks; job++) {
            int shower = job / plan.blocks, block = job % plan.blocks, count = channels - block * LANES;
            if (w && is_complete(&plan))
                to_values(&plan, w, spectra + shower * plan.whole + block * 2 * LANES, bias ? load(bias + block * LANES, count) : (lanes){0},
                          count, values + shower * plan.volume + block * LANES);
        }
        free(w);
    }
    drop_plan(&plan);
    return is_short ? OUT_OF_MEMORY : 0;
}

/*
 * At each of `frequencies` frequencies: out[b][m] = sum over k of in[b][k] w[k][m], or of in[b][k] conj(w[k][m]).
 * k runs over `inputs` channels, m over `blocks` blocks of them; w is a spectrum whose channels are (k, m).
 */
void gan3d_products(const float *in, const float *weights, int batch, long frequencies, int inputs, int blocks, int conjugate, float *out,
                    int threads) {
    long in_size = 2L * LANES * ((inputs + LANES - 1) / LANES), out_size = 2L * LANES * blocks;
    float sign = conjugate ? -1 : 1;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long f = 0; f < frequencies; f++)
        for (int first = 0; first < batch; first += SHOWERS) {
            int number = batch - first < SHOWERS ? batch - first : SHOWERS;
            const float *showers[SHOWERS];
            for (int s = 0; s < SHOWERS; s++) showers[s] = in + ((first + (s < number ? s : 0)) * frequencies + f) * in_size;
            for (int block = 0; block < blocks; block++) {
                const float *weight = weights + f * inputs * out_size + block * 2 * LANES;
                lanes re[SHOWERS] = {0}, im[SHOWERS] = {0};
                for (int k = 0; k < inputs; k++, weight += out_size) {
                    lanes w_re = *(const loose_lanes *)weight, w_im = sign * *(const loose_lanes *)(weight + LANES);
                    int at = k / LANES * 2 * LANES + k % LANES;
#pragma GCC unroll 4
                    for (int s = 0; s < SHOWERS; s++) {
                        float x_re = showers[s][at], x_im = showers[s][at + LANES];
                        re[s] += x_re * w_re;
                        re[s] -= x_im * w_im;
                        im[s] += x_re * w_im;
                        im[s] += x_im * w_re;
                    }
                }
#pragma GCC unroll 4
                for (int s = 0; s < SHOWERS; s++)
                    if (s < number) {
                        float *at = out + ((first + s) * frequencies + f) * out_size + block * 2 * LANES;
                        *(loose_lanes *)at = re[s];
                        *(loose_lanes *)(at + LANES) = im[s];
                    }
            }
        }
}

/* At each frequency: out[k][m] = sum over the showers b of g[b][m] conj(x[b][k]); k, m and layouts as in gan3d_products. */
void gan3d_correlations(const float *x, const float *g, int batch, long frequencies, int inputs, int blocks, float *out, int threads) {
    long x_size = 2L * LANES * ((inputs + LANES - 1) / LANES), g_size = 2L * LANES * blocks;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long f = 0; f < frequencies; f++)
        for (int block = 0; block < blocks; block++)
            for (int first = 0; first < inputs; first += SHOWERS) {
                int number = inputs - first < SHOWERS ? inputs - first : SHOWERS;
                const float *channels = x + f * x_size + first / LANES * 2 * LANES + first % LANES;
                const float *gradients = g + f * g_size + block * 2 * LANES;
                lanes re[SHOWERS] = {0}, im[SHOWERS] = {0};
                for (int b = 0; b < batch; b++, channels += frequencies * x_size, gradients += frequencies * g_size) {
                    lanes g_re = *(const loose_lanes *)gradients, g_im = *(const loose_lanes *)(gradients + LANES);
#pragma GCC unroll 4
                    for (int k = 0; k < SHOWERS; k++) {
                        float x_re = channels[k], x_im = channels[k + LANES];
                        re[k] += x_re * g_re;
                        re[k] += x_im * g_im;
                        im[k] += x_re * g_im;
                        im[k] -= x_im * g_re;
                    }
                }
#pragma GCC unroll 4
                for (int k = 0; k < SHOWERS; k++)
                    if (k < number) {
                        float *at = out + (f * inputs + first + k) * g_size + block * 2 * LANES;
                        *(loose_lanes *)at = re[k];
                        *(loose_lanes *)(at + LANES) = im[k];
                    }
            }
}
