// How often this thread has asked for memory: the program's operator new counts.
#pragma once

#include <cstddef>

namespace wgvitals::test {

std::size_t allocations();

}  // namespace wgvitals::test
