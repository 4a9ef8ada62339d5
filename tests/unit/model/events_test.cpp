#include "common/model/events.h"

#include <gtest/gtest.h>

#include "common/model/label_names.h"
#include "tests/support/said.h"

namespace wgvitals {
namespace {

class EventsTest : public testing::Test {
 protected:
  void add(Name event, std::string_view device, std::string_view from, std::string_view to) {
    const Label labels[] = {{&device_label, device}};
    events_.add({event, Severity::warning, labels, from, to, "message"});
  }
  std::string emitted() const {
    test::Said said;
    events_.emit(said);
    return said.text();
  }

  Events events_;
};

TEST_F(EventsTest, TellTheFirstFromAndTheLastTo) {
  add("state", "wg0", "up", "idle");
  add("state", "wg0", "idle", "stale");
  add("state", "wg0", "stale", "unanswered");
  EXPECT_EQ(emitted(), "event state,device=wg0 from=\"up\" to=\"unanswered\"\n");
}

TEST_F(EventsTest, AreToldApartByKindAndLabels) {
  add("state", "wg0", "a", "b");
  add("state", "wg1", "c", "d");
  add("link", "wg0", "e", "f");
  EXPECT_EQ(emitted(),
            "event state,device=wg0 from=\"a\" to=\"b\"\n"
            "event state,device=wg1 from=\"c\" to=\"d\"\n"
            "event link,device=wg0 from=\"e\" to=\"f\"\n");
}

TEST_F(EventsTest, AreToldApartByTheNumberOfTheirLabels) {
  const Label two[] = {{&device_label, "wg0"}, {&netns_label, "blue"}};
  events_.add({"link", Severity::okay, two, "a", "b", ""});
  add("link", "wg0", "c", "d");
  EXPECT_EQ(emitted(),
            "event link,device=wg0,netns=blue from=\"a\" to=\"b\"\n"
            "event link,device=wg0 from=\"c\" to=\"d\"\n");
}

TEST_F(EventsTest, KeepWhatTheyWereGiven) {
  {
    const std::string device = "wg" + std::to_string(0);
    const std::string from = std::string(40, 'f');
    add("state", device, from, "b");
  }
  EXPECT_EQ(emitted(), "event state,device=wg0 from=\"" + std::string(40, 'f') + "\" to=\"b\"\n");
}

TEST_F(EventsTest, HaveTheLastSeverityAndMessage) {
  const Label labels[] = {{&device_label, "wg0"}};
  events_.add({"link", Severity::failure, labels, "up", "down", "set down"});
  events_.add({"link", Severity::okay, labels, "down", "up", "set up"});
  struct Last final : Sink {
    void begin(const Now&) override {}
    void take(const Record&) override {}
    void take(const Event& event) override {
      severity = event.severity;
      message = event.message;
    }
    Severity severity{};
    std::string message;
  } last;
  events_.emit(last);
  EXPECT_EQ(last.severity, Severity::okay);
  EXPECT_EQ(last.message, "set up");
}

TEST_F(EventsTest, AreGoneWhenCleared) {
  add("state", "wg0", "a", "b");
  events_.clear();
  EXPECT_EQ(emitted(), "");
}

TEST_F(EventsTest, AreBoundedAndCountWhatWasDropped) {
  for (int i = 0; i < 1010; ++i) add("state", "wg" + std::to_string(i), "a", "b");
  EXPECT_EQ(events_.dropped(), 10u);
  add("state", "wg0", "b", "c");  // one that is known
  EXPECT_EQ(events_.dropped(), 10u);
  const auto text = emitted();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1000);
  events_.clear();
  add("state", "wg2000", "a", "b");
  EXPECT_EQ(events_.dropped(), 10u);  // since start
  EXPECT_NE(emitted(), "");
}

TEST(EventAsRecords, PartsTextsFromNumbers) {
  const Label labels[] = {{&device_label, "wg0"}};
  test::Said said;
  take_as_records({"link", Severity::failure, labels, "up", "down", "was set down"}, said);
  take_as_records({"peer_added", Severity::okay, labels, "", "", "was configured"}, said);
  EXPECT_EQ(said.text(),
            "wireguard_event,device=wg0,event=link severity=1\n"
            "wireguard_event,device=wg0,event=link message=\"was set down\" from=\"up\" "
            "to=\"down\"\n"
            "wireguard_event,device=wg0,event=peer_added severity=4\n"
            "wireguard_event,device=wg0,event=peer_added message=\"was configured\"\n");
}

TEST(EventAsRecords, KeepsItsKindBehindManyLabels) {
  const std::vector<Label> labels(30, {&device_label, "wg0"});
  test::Said said;
  take_as_records({"link", Severity::failure, labels, "", "", "x"}, said);
  EXPECT_NE(said.text().find(",event=link severity=1"), std::string::npos);
}

}  // namespace
}  // namespace wgvitals
