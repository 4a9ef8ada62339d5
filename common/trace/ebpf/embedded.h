// A file's bytes as part of the program; as an array they would take the compiler a while.
#pragma once

#include <cstddef>

// Defines NAME_begin and NAME_end. Of namespace ::.
#define WGVITALS_EMBED(name, path)                                                            \
  asm(".section .rodata\n"                                                                    \
      ".balign 8\n"                                                                           \
      ".globl " #name "_begin, " #name                                                        \
      "_end\n"                                                                                \
      ".hidden " #name "_begin, " #name "_end\n" #name "_begin: .incbin \"" path "\"\n" #name \
      "_end:\n"                                                                               \
      ".previous\n");                                                                         \
  extern "C" {                                                                                \
  [[gnu::visibility("hidden")]] extern const std::byte name##_begin[];                        \
  [[gnu::visibility("hidden")]] extern const std::byte name##_end[];                          \
  }
