// The JSON of a "# friendly_json = {...}" comment.

#include "common/kernel/wgquick.h"
#include "tests/fuzz/names.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wgvitals;
  std::string comment = "# friendly_json = ";
  comment.append(reinterpret_cast<const char*>(data), size);
  kernel::NameParser parser;
  parser.take(comment);
  parser.take("[Peer]");
  parser.take("PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=");
  const auto names = parser.finish();
  fuzz::check(names.size() <= 1, "one peer");
  fuzz::check_names(names);
  return 0;
}
