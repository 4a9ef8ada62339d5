// libcurl, loaded when it is first wanted: as much of it as the probes of web servers call.
#pragma once

#include <curl/curl.h>

#include <memory>

#include "common/base/library.h"
#include "common/base/result.h"

namespace wgvitals::probe {

class Curl {
 public:
  // The error names the package to install.
  static Result<std::shared_ptr<const Curl>> load();
  ~Curl();
  Curl(const Curl&) = delete;

  decltype(::curl_easy_init)* easy_init = nullptr;
  decltype(::curl_easy_cleanup)* easy_cleanup = nullptr;
  decltype(::curl_easy_reset)* easy_reset = nullptr;
  decltype(::curl_easy_setopt)* easy_setopt = nullptr;
  decltype(::curl_easy_getinfo)* easy_getinfo = nullptr;
  decltype(::curl_easy_strerror)* easy_strerror = nullptr;
  decltype(::curl_multi_init)* multi_init = nullptr;
  decltype(::curl_multi_cleanup)* multi_cleanup = nullptr;
  decltype(::curl_multi_setopt)* multi_setopt = nullptr;
  decltype(::curl_multi_add_handle)* multi_add_handle = nullptr;
  decltype(::curl_multi_remove_handle)* multi_remove_handle = nullptr;
  decltype(::curl_multi_socket_action)* multi_socket_action = nullptr;
  decltype(::curl_multi_info_read)* multi_info_read = nullptr;
  decltype(::curl_slist_append)* slist_append = nullptr;
  decltype(::curl_slist_free_all)* slist_free_all = nullptr;

 private:
  explicit Curl(Library library) : library_(std::move(library)) {}
  Result<Done> find_all();

  Library library_;
  bool ready_ = false;
  decltype(::curl_global_init)* global_init_ = nullptr;
  decltype(::curl_global_cleanup)* global_cleanup_ = nullptr;
};

}  // namespace wgvitals::probe
