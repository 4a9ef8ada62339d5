#include "plugins/cli/histogram.h"

#include <gtest/gtest.h>

namespace wgvitals::cli {
namespace {

std::string histogram(std::initializer_list<double> values) {
  return to_histogram(std::vector<double>(values), "ms");
}

TEST(Histogram, IsEmptyWithoutValues) { EXPECT_EQ(histogram({}), ""); }

TEST(Histogram, HasARangeForEveryValueAndAFullBarForTheMost) {
  EXPECT_EQ(histogram({10.2, 11.0, 11.9, 11.5, 11.1, 13.7}),
            "  10.0 - 10.5 ms |####################                    | 1\n"
            "  10.5 - 11.0 ms |                                        | 0\n"
            "  11.0 - 11.5 ms |########################################| 2\n"
            "  11.5 - 12.0 ms |########################################| 2\n"
            "  12.0 - 12.5 ms |                                        | 0\n"
            "  12.5 - 13.0 ms |                                        | 0\n"
            "  13.0 - 13.5 ms |                                        | 0\n"
            "  13.5 - 14.0 ms |####################                    | 1\n");
}

TEST(Histogram, HasOneRangeForEqualValues) {
  EXPECT_EQ(histogram({20, 20, 20}),
            "  20.000 - 20.001 ms |########################################| 3\n");
}

TEST(Histogram, ShowsWhatIsThereAtAllAndKeepsItsSize) {
  std::vector<double> values(100'000, 1.0);
  values.push_back(1000);
  const auto text = to_histogram(values, "ms");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 11);
  EXPECT_NE(text.find("  1000 - 1100 ms |#                                       | 1\n"),
            std::string::npos)
      << text;
}

TEST(Histogram, TakesStepsThatAreRound) {
  EXPECT_DOUBLE_EQ(to_round_step(0.001), 0.001);
  EXPECT_DOUBLE_EQ(to_round_step(0.0011), 0.002);
  EXPECT_DOUBLE_EQ(to_round_step(3), 5);
  EXPECT_DOUBLE_EQ(to_round_step(7), 10);
}

}  // namespace
}  // namespace wgvitals::cli
