#include "common/probe/curl.h"

#include <utility>

namespace wgvitals::probe {

Result<std::shared_ptr<const Curl>> Curl::load() {
  auto library = Library::open("libcurl.so.4", "libcurl4");
  if (!library) {  // Debian's other build of it has the same functions
    if (auto other = Library::open("libcurl-gnutls.so.4", "libcurl4")) library = std::move(other);
  }
  if (!library) return Error{Errc::io, 0, library.error().where};
  const std::shared_ptr<Curl> curl(new Curl(std::move(*library)));
  if (auto found = curl->find_all(); !found) return found.error();
  if (curl->global_init_(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    return Error{Errc::io, 0, "libcurl does not start"};
  }
  curl->ready_ = true;
  return std::shared_ptr<const Curl>(curl);
}

Curl::~Curl() {
  if (ready_) global_cleanup_();
}

Result<Done> Curl::find_all() {
  Result<Done> done = Done{};
  const auto find = [&](const char* name, auto*& function) {
    if (done) done = library_.find(name, function);
  };
  find("curl_global_init", global_init_);
  find("curl_global_cleanup", global_cleanup_);
  find("curl_easy_init", easy_init);
  find("curl_easy_cleanup", easy_cleanup);
  find("curl_easy_reset", easy_reset);
  find("curl_easy_setopt", easy_setopt);
  find("curl_easy_getinfo", easy_getinfo);
  find("curl_easy_strerror", easy_strerror);
  find("curl_multi_init", multi_init);
  find("curl_multi_cleanup", multi_cleanup);
  find("curl_multi_setopt", multi_setopt);
  find("curl_multi_add_handle", multi_add_handle);
  find("curl_multi_remove_handle", multi_remove_handle);
  find("curl_multi_socket_action", multi_socket_action);
  find("curl_multi_info_read", multi_info_read);
  find("curl_slist_append", slist_append);
  find("curl_slist_free_all", slist_free_all);
  return done;
}

}  // namespace wgvitals::probe
