// Linear layers that multiply only the weights that are kept, on CPUs, in float32.
//
// Tokens go in panels of up to 64, packed as [input][token], so that one kept weight is
// one broadcast and a few multiply-adds of neighbouring tokens. Kept weights are stored
// by block of inputs, then by output, as a 16-bit input and a float32 value:
//
//   panel   [input][token]    a block of about 128 inputs stays in the first-level cache
//   sums    [output][token]   of one output at a time in registers
//
// The order of the loops is Elsen et al. (2020), "Fast Sparse ConvNets", section 3, cut
// into blocks of inputs. Vectors are the compilers' own types: one source for AVX-512,
// AVX, SSE and NEON.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif

namespace {

typedef float Vector __attribute__((vector_size(LANES * 4)));
typedef int32_t Integers __attribute__((vector_size(LANES * 4)));

constexpr int kVectors = LANES >= 8 ? 64 / LANES : 8;  // sums of one output, at most
constexpr int64_t kPanel = kVectors * LANES;               // tokens

Vector Load(const float* from) {
  Vector loaded;
  std::memcpy(&loaded, from, sizeof loaded);
  return loaded;
}

void Store(float* to, Vector stored) { std::memcpy(to, &stored, sizeof stored); }

Vector All(float value) { return Vector{} + value; }

// ---- Activations -------------------------------------------------------------------

enum Activation { kNone, kRelu, kGeluTanh, kGeluErf, kSilu };

Vector Select(Integers condition, Vector yes, Vector no) {
  return (Vector)((condition & (Integers)yes) | (~condition & (Integers)no));
}

// exp(x) as 2^n * exp(r), |r| <= log(2) / 2, by its Taylor series: 2 units in the last
// place.
Vector Exp(Vector x) {
  const Integers overflows = x > All(88.0f);
  x = Select(x < All(-87.0f), All(-87.0f), x);
  x = Select(overflows, All(0), x);
  const Vector shift = All(12582912.0f);  // 1.5 * 2^23 rounds what is added to it
  const Vector shifted = x * 1.44269504f + shift;
  const Vector n = shifted - shift;
  const Vector r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Vector sum = All(1.0f / 5040);
  sum = sum * r + 1.0f / 720;
  sum = sum * r + 1.0f / 120;
  sum = sum * r + 1.0f / 24;
  sum = sum * r + 1.0f / 6;
  sum = sum * r + 0.5f;
  sum = sum * r + 1.0f;
  sum = sum * r + 1.0f;
  const Integers exponent = (Integers)shifted << 23;  // its low bits are n
  const Vector exp = (Vector)((Integers)sum + exponent);
  return Select(overflows, All(__builtin_inff()), exp);
}

Vector Tanh(Vector x) { return 1.0f - 2.0f / (Exp(2.0f * x) + 1.0f); }

// Source: Abramowitz and Stegun (1964), 7.1.26; within 1.5e-7.
Vector Erf(Vector x) {
  const Vector size = Select(x < All(0), -x, x);
  const Vector t = 1.0f / (1.0f + 0.3275911f * size);
  Vector sum = All(1.061405429f);
  sum = sum * t - 1.453152027f;
  sum = sum * t + 1.421413741f;
  sum = sum * t - 0.284496736f;
  sum = sum * t + 0.254829592f;
  const Vector erf = 1.0f - sum * t * Exp(-size * size);
  return Select(x < All(0), -erf, erf);
}

template <Activation kActivation>
Vector Activate(Vector x) {
  switch (kActivation) {
    case kNone:
      return x;
    case kRelu:
      return Select(x < All(0), All(0), x);  // NaN stays
    case kGeluTanh:
      return 0.5f * x * (1.0f + Tanh(0.7978845608f * (x + 0.044715f * x * x * x)));
    case kGeluErf:
      return 0.5f * x * (1.0f + Erf(x * 0.70710678118f));
    case kSilu:
      return x * (1.0f / (1.0f + Exp(-x)));  // 0, not -inf, where that overflows
  }
}

template <Activation kActivation>
void ActivateAll(float* values, int vectors) {
  for (int i = 0; i < vectors; ++i)
    Store(values + i * LANES, Activate<kActivation>(Load(values + i * LANES)));
}

void ActivateAll(int activation, float* values, int vectors) {
  switch (activation) {
    case kRelu:
      return ActivateAll<kRelu>(values, vectors);
    case kGeluTanh:
      return ActivateAll<kGeluTanh>(values, vectors);
    case kGeluErf:
      return ActivateAll<kGeluErf>(values, vectors);
    case kSilu:
      return ActivateAll<kSilu>(values, vectors);
  }
}

// ---- Transposition -----------------------------------------------------------------

#if defined(__clang__) || __GNUC__ >= 12
// Exchanges the off-diagonal halves of pairs of rows; for steps 1, 2, 4, … together
// this transposes LANES x LANES.
template <int kStep, int... kLane>
void Exchange(Vector& upper, Vector& lower, std::integer_sequence<int, kLane...>) {
  const Vector above = upper, below = lower;
  upper = __builtin_shufflevector(
      above, below, (kLane & kStep ? LANES + kLane - kStep : kLane)...);
  lower = __builtin_shufflevector(
      above, below, (kLane & kStep ? LANES + kLane : kLane + kStep)...);
}

template <int kStep>
void ExchangeAll(Vector* rows) {
  for (int row = 0; row < LANES; ++row)
    if (!(row & kStep))
      Exchange<kStep>(rows[row], rows[row + kStep],
                      std::make_integer_sequence<int, LANES>());
  if constexpr (kStep * 2 < LANES) ExchangeAll<kStep * 2>(rows);
}

void TransposeTile(Vector* rows) { ExchangeAll<1>(rows); }
#else
void TransposeTile(Vector* rows) {
  for (int row = 0; row < LANES; ++row)
    for (int column = row + 1; column < LANES; ++column)
      std::swap(rows[row][column], rows[column][row]);
}
#endif

// to[column][row] = from[row][column]; what a ragged edge leaves over goes one by one.
void Transpose(const float* from, int64_t from_stride, int64_t rows, int64_t columns,
               float* to, int64_t to_stride) {
  const int64_t whole_rows = rows / LANES * LANES;
  const int64_t whole_columns = columns / LANES * LANES;
  for (int64_t row = 0; row < whole_rows; row += LANES)
    for (int64_t column = 0; column < whole_columns; column += LANES) {
      Vector tile[LANES];
      for (int i = 0; i < LANES; ++i)
        tile[i] = Load(from + (row + i) * from_stride + column);
      TransposeTile(tile);
      for (int i = 0; i < LANES; ++i)
        Store(to + (column + i) * to_stride + row, tile[i]);
    }
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = row < whole_rows ? whole_columns : 0; column < columns;
         ++column)
      to[column * to_stride + row] = from[row * from_stride + column];
}

// ---- The product -------------------------------------------------------------------

// One layer's kept weights, and what is added to its outputs.
struct Layer {
  int64_t inputs, outputs, blocks;
  const uint32_t* starts;  // [block][output], into `input` and `value`
  const uint32_t* ends;
  const uint16_t* input;
  const float* value;
  const float* bias;  // or null
  int activation;
};

// The sums of outputs from `begin` to `end` for the tokens of one panel.
template <int kWidth>  // vectors of tokens
void MultiplyPanel(const Layer& layer, const float* panel, float* sums, int64_t begin,
                   int64_t end) {
  constexpr int kTokens = kWidth * LANES;
  for (int64_t block = 0; block < layer.blocks; ++block) {
    const uint32_t* starts = layer.starts + block * layer.outputs;
    const uint32_t* ends = layer.ends + block * layer.outputs;
    const bool last = block + 1 == layer.blocks;
    for (int64_t output = begin; output < end; ++output) {
      float* const sum = sums + (output - begin) * kTokens;
      const uint32_t from = starts[output], to = ends[output];
      Vector sums_of_tokens[kWidth];
      if (block == 0) {
        const Vector first = All(layer.bias ? layer.bias[output] : 0.0f);
        for (int i = 0; i < kWidth; ++i) sums_of_tokens[i] = first;
      } else if (from == to) {
        if (last && layer.activation) ActivateAll(layer.activation, sum, kWidth);
        continue;
      } else {
        for (int i = 0; i < kWidth; ++i) sums_of_tokens[i] = Load(sum + i * LANES);
      }
#pragma GCC unroll 4
      for (uint32_t weight = from; weight < to; ++weight) {
        const float* const tokens = panel + int64_t{layer.input[weight]} * kTokens;
        const float value = layer.value[weight];
        for (int i = 0; i < kWidth; ++i)
          sums_of_tokens[i] += value * Load(tokens + i * LANES);
      }
      for (int i = 0; i < kWidth; ++i) Store(sum + i * LANES, sums_of_tokens[i]);
      if (last && layer.activation) ActivateAll(layer.activation, sum, kWidth);
    }
  }
}

void MultiplyPanel(int width, const Layer& layer, const float* panel, float* sums,
                   int64_t begin, int64_t end) {
  switch (width) {
    case 1:
      return MultiplyPanel<1>(layer, panel, sums, begin, end);
    case 2:
      return MultiplyPanel<2>(layer, panel, sums, begin, end);
    case 3:
      return MultiplyPanel<3>(layer, panel, sums, begin, end);
    case 4:
      return MultiplyPanel<4>(layer, panel, sums, begin, end);
    case 5:
    case 6:
      return MultiplyPanel<kVectors < 6 ? 4 : 6>(layer, panel, sums, begin, end);
    default:
      return MultiplyPanel<kVectors>(layer, panel, sums, begin, end);
  }
}

// The vectors that `tokens` take, of the widths above.
int WidthFor(int64_t tokens) {
  const int width = static_cast<int>((tokens + LANES - 1) / LANES);
  return width == 5 ? 6 : width == 7 ? 8 : width;
}

// ---- Tasks -------------------------------------------------------------------------

// Memory of one thread, kept for its next task.
float* Scratch(int which, int64_t floats) {
  struct Free {
    void operator()(float* memory) const { std::free(memory); }
  };
  thread_local std::unique_ptr<float, Free> memory[3];
  thread_local int64_t sizes[3] = {};
  if (sizes[which] < floats) {
    const int64_t bytes = (floats * 4 + 4095) / 4096 * 4096;
    memory[which].reset(static_cast<float*>(std::aligned_alloc(4096, bytes)));
    sizes[which] = memory[which] ? bytes / 4 : 0;
    if (!memory[which]) throw std::bad_alloc();
  }
  return memory[which].get();
}

// Panels of tokens, as many for each thread, the last of them smaller; and where there
// are fewer than threads, parts of their outputs.
struct Tasks {
  int64_t tokens, whole, rest, panels, parts;

  Tasks(int64_t tokens, int64_t outputs, int64_t threads, bool divisible)
      : tokens(tokens), whole(tokens / (kPanel * threads) * threads), parts(1) {
    const int64_t left = tokens - whole * kPanel;
    const int64_t share = (left + threads - 1) / threads;
    rest = std::max<int64_t>((share + LANES - 1) / LANES * LANES, LANES);
    panels = whole + (left + rest - 1) / rest;
    if (divisible && panels < threads)
      parts = std::min(threads, std::max<int64_t>(outputs / 64, 1));
  }
  int64_t count() const { return panels * parts; }
  int64_t first(int64_t panel) const {
    return std::min(panel, whole) * kPanel + std::max<int64_t>(panel - whole, 0) * rest;
  }
  int64_t size(int64_t panel) const {
    return std::min(panel < whole ? kPanel : rest, tokens - first(panel));
  }
};

float* PackPanel(const float* x, int64_t inputs, int64_t tokens, int width) {
  const int64_t stride = width * LANES;
  float* const panel = Scratch(0, inputs * stride);
  if (tokens < stride) std::memset(panel, 0, inputs * stride * 4);
  Transpose(x, inputs, tokens, inputs, panel, stride);
  return panel;
}

void MultiplyTask(const Layer& layer, const float* x, float* y, const Tasks& tasks,
                  int64_t task) {
  const int64_t panel_number = task / tasks.parts, part = task % tasks.parts;
  const int64_t first = tasks.first(panel_number), tokens = tasks.size(panel_number);
  const int64_t begin = layer.outputs * part / tasks.parts;
  const int64_t end = layer.outputs * (part + 1) / tasks.parts;
  const int width = WidthFor(tokens);
  const float* const panel = PackPanel(x + first * layer.inputs, layer.inputs, tokens, width);
  float* const sums = Scratch(1, (end - begin) * width * LANES);
  MultiplyPanel(width, layer, panel, sums, begin, end);
  Transpose(sums, width * LANES, end - begin, tokens,
            y + first * layer.outputs + begin, layer.outputs);
}

// Two layers after one another on a panel: what is between them is never unpacked.
void FeedForwardTask(const Layer& in, const Layer& out, const float* x, float* y,
                     const Tasks& tasks, int64_t task) {
  const int64_t first = tasks.first(task), tokens = tasks.size(task);
  const int width = WidthFor(tokens);
  const float* const panel = PackPanel(x + first * in.inputs, in.inputs, tokens, width);
  float* const inner = Scratch(2, in.outputs * width * LANES);
  MultiplyPanel(width, in, panel, inner, 0, in.outputs);
  float* const sums = Scratch(1, out.outputs * width * LANES);
  MultiplyPanel(width, out, inner, sums, 0, out.outputs);
  Transpose(sums, width * LANES, out.outputs, tokens, y + first * out.outputs,
            out.outputs);
}

// ---- Attention ---------------------------------------------------------------------

// Beside sparse linear layers attention is what takes longest. A panel of queries is
// packed as [feature][query], and multiplied by keys and values as a panel of tokens is
// by weights: scores [key][query] stay in the second-level cache. Keys that no query of
// the panel sees are left out: those behind it, and other branches'.
struct Attention {
  int64_t queries, keys, heads, size;  // size: features of a head
  const float* query;                  // [row][query][head][feature], scaled
  const float* key;                    // [row][key][head][feature]
  const float* value;                  // likewise
  const bool* mask;                    // [row][query, or one for all][key]
  int64_t mask_queries;
  const float* bias;  // [row, or one for all][head][query][key], or null
  int64_t bias_rows;
  float* output;  // [row][query][head][feature]

  int64_t panels() const { return (queries + kPanel - 1) / kPanel; }
};

constexpr int64_t kKeys = 128;         // of a block: their weights take 32 KiB
constexpr float kUnseen = -1e30f;      // exp() of it is nothing beside any other

// Adds values[i] times row i of a panel.
template <int kWidth>
void AddRows(const float* values, int64_t count, const float* panel, Vector* sums) {
  Vector sum[kWidth];
  for (int i = 0; i < kWidth; ++i) sum[i] = sums[i];
#pragma GCC unroll 4
  for (int64_t row = 0; row < count; ++row) {
    const float value = values[row];
    for (int i = 0; i < kWidth; ++i)
      sum[i] += value * Load(panel + (row * kWidth + i) * LANES);
  }
  for (int i = 0; i < kWidth; ++i) sums[i] = sum[i];
}

// The keys that a panel's queries see, and of those that not all see, what is added.
struct Seen {
  std::vector<int32_t> keys;
  std::vector<int32_t> partly;  // of each: its row of `unseen`, or -1
  const float* unseen;          // [row][query]

  Seen(const bool* mask, int64_t mask_stride, int64_t queries, int64_t count,
       int64_t width, float* memory)
      : unseen(memory) {
    std::vector<int32_t> seeing(count);
    for (int64_t query = 0; query < queries; ++query)
      for (int64_t key = 0; key < count; ++key)
        seeing[key] += mask[query * mask_stride + key];
    int32_t rows = 0;
    for (int64_t key = 0; key < count; ++key) {
      if (!seeing[key]) continue;
      const bool by_all = seeing[key] == queries;
      keys.push_back(static_cast<int32_t>(key));
      partly.push_back(by_all ? -1 : rows);
      if (by_all) continue;
      float* const row = memory + rows++ * width * LANES;
      for (int64_t query = 0; query < width * LANES; ++query) {
        const bool sees = query >= queries || mask[query * mask_stride + key];
        row[query] = sees ? 0 : kUnseen;
      }
    }
  }
};

template <int kWidth>
void AttendPanel(const Attention& of, int64_t row, int64_t panel) {
  constexpr int64_t kQueries = kWidth * LANES;
  const int64_t first = panel * kPanel, features = of.heads * of.size;
  const int64_t queries = std::min<int64_t>(kPanel, of.queries - first);
  const int64_t of_head = of.size * kQueries, of_keys = of.keys * kQueries;
  float* const packed = Scratch(0, 2 * of_head + 2 * kKeys * of.size);
  float* const sums = packed + of_head;
  float* const gathered = sums + of_head;
  float* const values = gathered + kKeys * of.size;
  float* const scores = Scratch(1, of_keys);
  float* const others = Scratch(2, 2 * of_keys);
  const bool* const mask =
      of.mask + (row * of.mask_queries + (of.mask_queries > 1 ? first : 0)) * of.keys;
  const int64_t mask_stride = of.mask_queries > 1 ? of.keys : 0;
  const Seen seen(mask, mask_stride, queries, of.keys, kWidth, others + of_keys);
  const int64_t count = seen.keys.size();
  for (int64_t head = 0; head < of.heads; ++head) {
    const int64_t at = (row * of.queries + first) * features + head * of.size;
    const float* const keys = of.key + row * of.keys * features + head * of.size;
    const float* const of_values = of.value + row * of.keys * features + head * of.size;
    if (queries < kQueries) std::memset(packed, 0, of_head * 4);
    Transpose(of.query + at, features, queries, of.size, packed, kQueries);
    if (of.bias) {
      const int64_t skipped = (of.bias_rows > 1 ? row * of.heads : 0) + head;
      if (queries < kQueries) std::memset(others, 0, of_keys * 4);
      Transpose(of.bias + (skipped * of.queries + first) * of.keys, of.keys, queries,
                of.keys, others, kQueries);
    }
    Vector largest[kWidth], total[kWidth];
    for (int i = 0; i < kWidth; ++i) largest[i] = All(kUnseen), total[i] = All(0);
    for (int64_t number = 0; number < count; ++number) {
      const int64_t key = seen.keys[number];
      // Heads lie beside one another, so that a key's features are far from the next's.
      const int64_t next = seen.keys[std::min(number + 2, count - 1)];
      for (int64_t feature = 0; feature < of.size; feature += 16)
        __builtin_prefetch(keys + next * features + feature);
      Vector score[kWidth];
      for (int i = 0; i < kWidth; ++i)
        score[i] = of.bias ? Load(others + key * kQueries + i * LANES) : All(0);
      AddRows<kWidth>(keys + key * features, of.size, packed, score);
      if (seen.partly[number] >= 0)
        for (int i = 0; i < kWidth; ++i)
          score[i] += Load(seen.unseen + seen.partly[number] * kQueries + i * LANES);
      for (int i = 0; i < kWidth; ++i) {
        largest[i] = Select(score[i] > largest[i], score[i], largest[i]);
        Store(scores + number * kQueries + i * LANES, score[i]);
      }
    }
    for (int64_t number = 0; number < count; ++number)
      for (int i = 0; i < kWidth; ++i) {
        float* const score = scores + number * kQueries + i * LANES;
        const Vector weight = Exp(Load(score) - largest[i]);
        total[i] += weight;
        Store(score, weight);
      }
    std::memset(sums, 0, of_head * 4);
    for (int64_t begin = 0; begin < count; begin += kKeys) {
      const int64_t block = std::min(kKeys, count - begin);
      for (int64_t number = 0; number < block; ++number)
        std::memcpy(gathered + number * of.size,
                    of_values + seen.keys[begin + number] * features, of.size * 4);
      Transpose(gathered, of.size, block, of.size, values, kKeys);
      for (int64_t feature = 0; feature < of.size; ++feature) {
        Vector sum[kWidth];
        for (int i = 0; i < kWidth; ++i)
          sum[i] = Load(sums + feature * kQueries + i * LANES);
        AddRows<kWidth>(values + feature * kKeys, block, scores + begin * kQueries, sum);
        for (int i = 0; i < kWidth; ++i)
          Store(sums + feature * kQueries + i * LANES, sum[i]);
      }
    }
    for (int i = 0; i < kWidth; ++i)
      total[i] = 1.0f / Select(total[i] > All(0), total[i], All(1));
    for (int64_t feature = 0; feature < of.size; ++feature)
      for (int i = 0; i < kWidth; ++i) {
        float* const sum = sums + feature * kQueries + i * LANES;
        Store(sum, Load(sum) * total[i]);
      }
    Transpose(sums, kQueries, of.size, queries, of.output + at, features);
  }
}

void AttendTask(const Attention& of, int64_t task) {
  const int64_t row = task / of.panels(), panel = task % of.panels();
  switch (WidthFor(std::min<int64_t>(kPanel, of.queries - panel * kPanel))) {
    case 1:
      return AttendPanel<1>(of, row, panel);
    case 2:
      return AttendPanel<2>(of, row, panel);
    case 3:
    case 4:
      return AttendPanel<4>(of, row, panel);
    default:
      return AttendPanel<kVectors>(of, row, panel);
  }
}

// Runs tasks on a pool and on the calling thread, which takes its share and then waits
// for tasks that have begun, never for one that has not: all others may be busy.
template <typename Schedule, typename Task>
bool RunTasks(int64_t count, int64_t threads, Schedule&& schedule, Task task) {
  struct Shared {
    std::atomic<int64_t> next{0}, done{0};
    std::atomic<bool> failed{false};
  };
  const auto shared = std::make_shared<Shared>();
  auto work = [shared, count, task] {
    for (int64_t number; (number = shared->next.fetch_add(1)) < count;) {
      try {
        task(number);
      } catch (...) {
        shared->failed = true;
      }
      shared->done.fetch_add(1, std::memory_order_release);
    }
  };
  try {
    for (int64_t i = 1; i < std::min(count, threads); ++i) schedule(work);
  } catch (...) {  // fewer threads have to do
  }
  work();
  while (shared->done.load(std::memory_order_acquire) < count)
    std::this_thread::yield();
  return !shared->failed;
}

// ---- Packing -----------------------------------------------------------------------

// Counts the kept weights of one layer by block and output.
//
// kept [input][output] says at how many of the `levels` sparsities a weight is kept. In
// a block and output, those kept at most of them come first; ends [level][block][output]
// says how many are kept at each, counted from `first`, and starts where they begin.
// Returns the number of all.
int64_t CountKept(const uint8_t* kept, int64_t inputs, int64_t outputs, int64_t block,
                  int64_t levels, int64_t first, uint32_t* starts, uint32_t* ends,
                  int64_t ends_stride) {
  std::vector<uint32_t> counts((levels + 1) * outputs);
  int64_t next = first;
  for (int64_t begin = 0, number = 0; begin < inputs; begin += block, ++number) {
    std::fill(counts.begin(), counts.end(), 0);
    for (int64_t input = begin; input < std::min(begin + block, inputs); ++input)
      for (int64_t output = 0; output < outputs; ++output)
        ++counts[kept[input * outputs + output] * outputs + output];
    for (int64_t output = 0; output < outputs; ++output) {
      const int64_t place = number * outputs + output;
      starts[place] = static_cast<uint32_t>(next);
      for (int64_t level = levels; level-- > 0;) {
        next += counts[(level + 1) * outputs + output];
        ends[level * ends_stride + place] = static_cast<uint32_t>(next);
      }
    }
  }
  return next - first;
}

// Writes them in that order.
void Fill(const float* weights, const uint8_t* kept, int64_t inputs, int64_t outputs,
          int64_t block, int64_t levels, const uint32_t* starts, const uint32_t* ends,
          int64_t ends_stride, uint16_t* input_of, float* value_of) {
  std::vector<uint32_t> next(levels * outputs);
  for (int64_t begin = 0, number = 0; begin < inputs; begin += block, ++number) {
    const int64_t place = number * outputs;
    // What is kept at `level + 1` sparsities begins where what is kept at more ends.
    for (int64_t level = 0; level < levels; ++level)
      std::memcpy(next.data() + level * outputs,
                  level + 1 < levels ? ends + (level + 1) * ends_stride + place
                                     : starts + place,
                  outputs * 4);
    for (int64_t input = begin; input < std::min(begin + block, inputs); ++input)
      for (int64_t output = 0; output < outputs; ++output) {
        const int64_t weight = input * outputs + output;
        if (!kept[weight]) continue;
        const uint32_t slot = next[(kept[weight] - 1) * outputs + output]++;
        input_of[slot] = static_cast<uint16_t>(input);
        value_of[slot] = weights[weight];
      }
  }
}

}  // namespace

extern "C" {

int64_t jaxsparse_lanes() { return LANES; }

int64_t jaxsparse_count(const uint8_t* kept, int64_t inputs, int64_t outputs,
                        int64_t block, int64_t levels, int64_t first, uint32_t* starts,
                        uint32_t* ends, int64_t ends_stride) {
  return CountKept(kept, inputs, outputs, block, levels, first, starts, ends,
                   ends_stride);
}

void jaxsparse_fill(const float* weights, const uint8_t* kept, int64_t inputs,
                    int64_t outputs, int64_t block, int64_t levels,
                    const uint32_t* starts, const uint32_t* ends, int64_t ends_stride,
                    uint16_t* input_of, float* value_of) {
  Fill(weights, kept, inputs, outputs, block, levels, starts, ends, ends_stride,
       input_of, value_of);
}

}  // extern "C"

#ifndef JAXSPARSE_WITHOUT_XLA
#include "xla/ffi/api/ffi.h"

namespace {
namespace ffi = xla::ffi;

using Floats = ffi::AnyBuffer;
template <ffi::DataType kType>
using Any = ffi::Buffer<kType>;

// A layer of stacked ones. `geometry`: inputs of a block, blocks.
Layer LayerOf(const Any<ffi::U32>& starts, const Any<ffi::U32>& ends,
              const Any<ffi::U16>& input, const Any<ffi::F32>& value,
              const Any<ffi::F32>& bias, const Any<ffi::S32>& geometry, int32_t number,
              int64_t inputs, int64_t outputs, int64_t activation) {
  const int64_t blocks = geometry.typed_data()[1];
  const int64_t skipped = number * blocks * outputs;
  return Layer{inputs,
               outputs,
               blocks,
               starts.typed_data() + skipped,
               ends.typed_data() + skipped,
               input.typed_data(),
               value.typed_data(),
               bias.element_count() ? bias.typed_data() : nullptr,
               static_cast<int>(activation)};
}

int64_t Threads(const ffi::ThreadPool& pool) {
  return std::max<int64_t>(pool.num_threads(), 1);
}

template <typename Task>
ffi::Error Run(ffi::ThreadPool& pool, int64_t count, Task task) {
  const bool well = RunTasks(
      count, Threads(pool), [&](auto work) { pool.Schedule(std::move(work)); },
      task);
  if (well) return ffi::Error::Success();
  return ffi::Error(ffi::ErrorCode::kResourceExhausted,
                    "sparse execution: no memory for a panel of tokens");
}

ffi::Error Linear(ffi::ThreadPool pool, Any<ffi::F32> x, Any<ffi::U32> starts,
                  Any<ffi::U32> ends, Any<ffi::U16> input, Any<ffi::F32> value,
                  Any<ffi::F32> bias, Any<ffi::S32> geometry, Any<ffi::S32> number,
                  int64_t activation, ffi::Result<Any<ffi::F32>> y) {
  const int64_t inputs = x.dimensions().back();
  const int64_t outputs = y->dimensions().back();
  const int64_t tokens = x.element_count() / inputs;
  const Layer layer = LayerOf(starts, ends, input, value, bias, geometry,
                              number.typed_data()[0], inputs, outputs, activation);
  const Tasks tasks(tokens, outputs, Threads(pool), true);
  const float* from = x.typed_data();
  float* to = y->typed_data();
  return Run(pool, tasks.count(), [=](int64_t task) {
    MultiplyTask(layer, from, to, tasks, task);
  });
}

ffi::Error FeedForward(ffi::ThreadPool pool, Any<ffi::F32> x, Any<ffi::U32> in_starts,
                       Any<ffi::U32> in_ends, Any<ffi::U16> in_input,
                       Any<ffi::F32> in_value, Any<ffi::F32> in_bias,
                       Any<ffi::S32> in_geometry, Any<ffi::U32> out_starts,
                       Any<ffi::U32> out_ends, Any<ffi::U16> out_input,
                       Any<ffi::F32> out_value, Any<ffi::F32> out_bias,
                       Any<ffi::S32> out_geometry, Any<ffi::S32> number,
                       int64_t activation, int64_t inner,
                       ffi::Result<Any<ffi::F32>> y) {
  const int64_t inputs = x.dimensions().back();
  const int64_t outputs = y->dimensions().back();
  const int64_t tokens = x.element_count() / inputs;
  const int32_t layer = number.typed_data()[0];
  const Layer in = LayerOf(in_starts, in_ends, in_input, in_value, in_bias,
                           in_geometry, layer, inputs, inner, activation);
  const Layer out = LayerOf(out_starts, out_ends, out_input, out_value, out_bias,
                            out_geometry, layer, inner, outputs, kNone);
  const Tasks tasks(tokens, outputs, Threads(pool), false);
  const float* from = x.typed_data();
  float* to = y->typed_data();
  return Run(pool, tasks.count(), [=](int64_t task) {
    FeedForwardTask(in, out, from, to, tasks, task);
  });
}

ffi::Error Attend(ffi::ThreadPool pool, Any<ffi::F32> query, Any<ffi::F32> key,
                  Any<ffi::F32> value, Any<ffi::PRED> mask, Any<ffi::F32> bias,
                  ffi::Result<Any<ffi::F32>> output) {
  const auto queries = query.dimensions(), keys = key.dimensions();
  const Attention of{queries[1],
                     keys[1],
                     queries[2],
                     queries[3],
                     query.typed_data(),
                     key.typed_data(),
                     value.typed_data(),
                     mask.typed_data(),
                     mask.dimensions()[1],
                     bias.element_count() ? bias.typed_data() : nullptr,
                     bias.dimensions()[0],
                     output->typed_data()};
  return Run(pool, queries[0] * of.panels(),
             [=](int64_t task) { AttendTask(of, task); });
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxsparse_attention, Attend,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Any<ffi::F32>>()
                                  .Arg<Any<ffi::F32>>()
                                  .Arg<Any<ffi::F32>>()
                                  .Arg<Any<ffi::PRED>>()
                                  .Arg<Any<ffi::F32>>()
                                  .Ret<Any<ffi::F32>>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxsparse_linear, Linear,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Any<ffi::F32>>()
                                  .Arg<Any<ffi::U32>>()
                                  .Arg<Any<ffi::U32>>()
                                  .Arg<Any<ffi::U16>>()
                                  .Arg<Any<ffi::F32>>()
                                  .Arg<Any<ffi::F32>>()
                                  .Arg<Any<ffi::S32>>()
                                  .Arg<Any<ffi::S32>>()
                                  .Attr<int64_t>("activation")
                                  .Ret<Any<ffi::F32>>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxsparse_feed_forward, FeedForward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Any<ffi::F32>>()
                                  .Arg<Any<ffi::U32>>()
                                  .Arg<Any<ffi::U32>>()
                                  .Arg<Any<ffi::U16>>()
                                  .Arg<Any<ffi::F32>>()
                                  .Arg<Any<ffi::F32>>()
                                  .Arg<Any<ffi::S32>>()
                                  .Arg<Any<ffi::U32>>()
                                  .Arg<Any<ffi::U32>>()
                                  .Arg<Any<ffi::U16>>()
                                  .Arg<Any<ffi::F32>>()
                                  .Arg<Any<ffi::F32>>()
                                  .Arg<Any<ffi::S32>>()
                                  .Arg<Any<ffi::S32>>()
                                  .Attr<int64_t>("activation")
                                  .Attr<int64_t>("inner")
                                  .Ret<Any<ffi::F32>>());
#endif  // JAXSPARSE_WITHOUT_XLA
