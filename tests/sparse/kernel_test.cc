// The kernel without JAX, against a naive loop, on a pool of this file's own: to be
// compiled with sanitizers, and for every width of vectors. Prints the lanes.

#define JAXSPARSE_WITHOUT_XLA
#include "kernel.cc"

#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <functional>
#include <mutex>
#include <random>

namespace {

void Check(bool condition, const char* what, int64_t a = 0, int64_t b = 0,
           int64_t c = 0) {
  if (condition) return;
  std::fprintf(stderr, "%s (%ld, %ld, %ld)\n", what, long(a), long(b), long(c));
  std::exit(1);
}

class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
  }
  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      closed_ = true;
    }
    wake_.notify_all();
    for (auto& thread : threads_) thread.join();
  }
  void Schedule(std::function<void()> work) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      queue_.push_back(std::move(work));
    }
    wake_.notify_one();
  }

 private:
  void Work() {
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return closed_ || !queue_.empty(); });
      if (queue_.empty()) return;
      const auto work = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      work();
    }
  }
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  bool closed_ = false;
  std::vector<std::thread> threads_;
};

// A random layer whose weights are kept at 0, 1 or 2 of two sparsities. Memory is as
// large as it must be, so that the address sanitizer sees what goes beyond.
struct Packed {
  int64_t inputs, outputs, block, blocks, places;
  std::vector<float> weights, bias, value;
  std::vector<uint8_t> kept;
  std::vector<uint32_t> starts, ends;
  std::vector<uint16_t> input;

  Packed(int64_t inputs, int64_t outputs, int64_t block, double density, int seed)
      : inputs(inputs), outputs(outputs), block(std::min(block, inputs)),
        blocks((inputs + this->block - 1) / this->block), places(blocks * outputs),
        weights(inputs * outputs), bias(outputs), kept(inputs * outputs),
        starts(places), ends(2 * places) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::uniform_real_distribution<double> uniform;
    for (auto& weight : weights) weight = normal(random);
    for (auto& weight : bias) weight = normal(random);
    for (auto& level : kept)
      level = uniform(random) < density ? (uniform(random) < 0.5 ? 2 : 1) : 0;
    const int64_t number =
        CountKept(kept.data(), inputs, outputs, this->block, 2, 0, starts.data(),
                  ends.data(), places);
    value.resize(number);
    input.resize(number);
    Fill(weights.data(), kept.data(), inputs, outputs, this->block, 2, starts.data(),
         ends.data(), places, input.data(), value.data());
  }
  Layer At(int level, int activation) const {
    return Layer{inputs,       outputs,      blocks,       starts.data(),
                 ends.data() + level * places, input.data(), value.data(),
                 bias.data(),  activation};
  }
  // [token][output], and the sums of absolute terms.
  std::vector<double> Naive(const std::vector<float>& x, int level,
                            std::vector<double>* sizes) const {
    const int64_t tokens = x.size() / inputs;
    std::vector<double> y(tokens * outputs), left(weights.begin(), weights.end());
    for (size_t i = 0; i < left.size(); ++i)
      if (kept[i] <= level) left[i] = 0;
    sizes->assign(tokens * outputs, 0);
    for (int64_t token = 0; token < tokens; ++token) {
      double* const sum = y.data() + token * outputs;
      double* const size = sizes->data() + token * outputs;
      std::copy(bias.begin(), bias.end(), sum);
      for (int64_t output = 0; output < outputs; ++output)
        size[output] = std::abs(bias[output]);
      for (int64_t i = 0; i < inputs; ++i) {
        const double factor = x[token * inputs + i];
        const double* const row = left.data() + i * outputs;
        for (int64_t output = 0; output < outputs; ++output) {
          sum[output] += factor * row[output];
          size[output] += std::abs(factor * row[output]);
        }
      }
    }
    return y;
  }
};

std::vector<float> Random(int64_t number, int seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(number);
  for (auto& value : values) value = normal(random);
  return values;
}

template <typename Schedule>
std::vector<float> Linear(const Layer& layer, const std::vector<float>& x,
                          int64_t threads, Schedule schedule) {
  const int64_t tokens = x.size() / layer.inputs;
  std::vector<float> y(tokens * layer.outputs, NAN);
  const Tasks tasks(tokens, layer.outputs, threads, true);
  const float* from = x.data();
  float* to = y.data();
  Check(RunTasks(tasks.count(), threads, schedule,
                 [=](int64_t task) { MultiplyTask(layer, from, to, tasks, task); }),
        "a task failed");
  return y;
}

template <typename Schedule>
std::vector<float> Both(const Layer& in, const Layer& out, const std::vector<float>& x,
                        int64_t threads, Schedule schedule) {
  const int64_t tokens = x.size() / in.inputs;
  std::vector<float> y(tokens * out.outputs, NAN);
  const Tasks tasks(tokens, out.outputs, threads, false);
  const float* from = x.data();
  float* to = y.data();
  Check(RunTasks(tasks.count(), threads, schedule,
                 [=](int64_t task) { FeedForwardTask(in, out, from, to, tasks, task); }),
        "a task failed");
  return y;
}

void CheckClose(const std::vector<float>& y, const std::vector<double>& expected,
                const std::vector<double>& sizes, const Packed& packed,
                int64_t tokens) {
  for (size_t i = 0; i < y.size(); ++i)
    Check(std::abs(y[i] - expected[i]) <= 1e-5 * sizes[i], "another sum",
          packed.inputs, packed.outputs, tokens);
}

// On a pool, on the calling thread alone, and where all other threads are busy: then
// the caller finishes alone, and what it scheduled runs when its memory is gone.
void CheckSizes() {
  int seed = 0;
  Pool pool(3);
  auto on_pool = [&](auto work) { pool.Schedule(work); };
  auto alone = [](auto) { Check(false, "one thread schedules nothing"); };
  std::vector<std::function<void()>> queue;
  auto busy = [&](auto work) { queue.push_back(work); };
  for (int64_t inputs : {1, 17, 127, 128, 129, 300})
    for (int64_t outputs : {1, 5, 63, 65})
      for (double density : {0.0, 0.03, 0.5, 1.0}) {
        const int64_t block = density < 0.04 ? inputs : 128;
        const Packed packed(inputs, outputs, block, density, ++seed);
        for (int64_t tokens : {0, 1, 3, 63, 64, 65, 129, 200}) {
          const auto x = Random(tokens * inputs, ++seed);
          const int level = seed % 2;
          std::vector<double> sizes;
          const auto expected = packed.Naive(x, level, &sizes);
          const Layer layer = packed.At(level, kNone);
          for (const auto& y : {Linear(layer, x, 4, on_pool), Linear(layer, x, 1, alone),
                                Linear(layer, x, 3, busy)})
            CheckClose(y, expected, sizes, packed, tokens);
        }
      }
  Check(!queue.empty(), "nothing was scheduled");
  for (auto& work : queue) work();
}

// Feed-forward is two layers one after the other, bit for bit.
void CheckFeedForward() {
  const int64_t threads = 4;
  Pool pool(3);
  auto schedule = [&](auto work) { pool.Schedule(work); };
  for (int activation : {kNone, kRelu, kGeluTanh, kGeluErf, kSilu})
    for (int64_t tokens : {1, 65, 200}) {
      const Packed in(129, 300, 128, 0.3, 1), out(300, 33, 128, 0.3, 2);
      const auto x = Random(tokens * 129, 3);
      const auto inner = Linear(in.At(0, activation), x, threads, schedule);
      const auto apart = Linear(out.At(0, kNone), inner, threads, schedule);
      const auto both =
          Both(in.At(0, activation), out.At(0, kNone), x, threads, schedule);
      Check(both == apart, "feed-forward is another function", activation, tokens);
    }
}

// Several calls at once share a pool.
void CheckCallsAtOnce() {
  Pool pool(3);
  auto schedule = [&](auto work) { pool.Schedule(work); };
  const Packed packed(300, 65, 128, 0.4, 7);
  const auto x = Random(200 * 300, 8);
  std::vector<double> sizes;
  const auto expected = packed.Naive(x, 0, &sizes);
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller)
    callers.emplace_back([&] {
      for (int again = 0; again < 20; ++again)
        CheckClose(Linear(packed.At(0, kNone), x, 4, schedule), expected, sizes, packed,
                   200);
    });
  for (auto& caller : callers) caller.join();
}

void CheckErrors() {
  Pool pool(2);
  std::atomic<int> ran{0};
  auto task = [&](int64_t number) {
    ++ran;
    if (number == 5) throw std::bad_alloc();
  };
  auto schedule = [&](auto work) { pool.Schedule(work); };
  Check(!RunTasks(10, 3, schedule, task), "an error is lost");
  Check(ran == 10, "tasks are left");
  Check(RunTasks(5, 3, schedule, task), "an error that there is not");
  ran = 0;
  auto full = [](auto) { throw std::bad_alloc(); };
  Check(RunTasks(5, 3, full, task) && ran == 5, "a full queue is an error");
  bool thrown = false;
  try {
    Scratch(0, int64_t{1} << 50);
  } catch (const std::bad_alloc&) {
    thrown = true;
  }
  Check(thrown, "memory that there is not is given");
  Check(Scratch(0, 100) != nullptr, "no memory after an error");
}

}  // namespace

int main() {
  CheckSizes();
  CheckFeedForward();
  CheckCallsAtOnce();
  CheckErrors();
  std::printf("%d\n", LANES);
}
