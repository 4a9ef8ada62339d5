// A kernel by script: checks each netlink request and replays its answer.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/kernel/netlink.h"
#include "tests/support/netlink_messages.h"

namespace wgvitals::test {

// What one request brings: datagrams, then perhaps a failure of the socket. Messages get the
// request's sequence number unless they have their own.
struct Answer {
  std::vector<Message> datagrams;
  std::optional<Error> failure;

  Answer& then_silence() {
    failure = Error{Errc::timed_out, 0, "receive: no answer in time"};
    return *this;
  }
};

inline Message done(int error = 0) {
  MessageBuilder builder(NLMSG_DONE);
  builder.fixed(-error);
  return builder.message();
}

// A whole dump, each message in a datagram of its own.
inline Answer dump(std::vector<Message> messages) {
  messages.push_back(done());
  return {std::move(messages), {}};
}

// The same in one datagram.
inline Answer dump_together(const std::vector<Message>& messages) {
  Message all;
  for (const auto& message : messages) {
    all.insert(all.end(), message.begin(), message.end());
    all.resize(MNL_ALIGN(all.size()));
  }
  const auto end = done();
  all.insert(all.end(), end.begin(), end.end());
  return {{std::move(all)}, {}};
}

inline Answer one(Message message) { return {{std::move(message)}, {}}; }

// The kernel refuses; 0 is a bare acknowledgement.
inline Answer refusal(int number) {
  MessageBuilder builder(NLMSG_ERROR, 0);
  builder.fixed(nlmsgerr{-number, {}});
  return {{builder.message()}, {}};
}

inline Answer silence() { return Answer{}.then_silence(); }

// The bytes came, but not all of them fitted.
inline Answer too_large(Message message) {
  return {{std::move(message)},
          Error{Errc::malformed, 0, "receive: a message larger than the buffer"}};
}

inline Message torn(Message message) {
  header_of(message).nlmsg_flags |= NLM_F_DUMP_INTR;
  return message;
}

inline Message with_sequence(Message message, std::uint32_t sequence) {
  header_of(message).nlmsg_seq = sequence;
  return message;
}

// A request in words: "links wireguard", "link wg0", "family wireguard", "device 7 of 31".
inline std::string to_words(int protocol, const nlmsghdr& request) {
  const auto attribute = [&](std::size_t fixed, int wanted) -> const nlattr* {
    const nlattr* found = nullptr;
    kernel::for_each_attribute(::mnl_nlmsg_get_payload_offset(&request, fixed),
                               ::mnl_nlmsg_get_payload_len(&request) - MNL_ALIGN(fixed),
                               [&](const nlattr& one) {
                                 if (::mnl_attr_get_type(&one) == wanted) found = &one;
                                 return true;
                               });
    return found;
  };
  const auto text = [](const nlattr* one) {
    return one == nullptr ? std::string("?") : std::string(::mnl_attr_get_str(one));
  };
  const bool is_dump = (request.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  if ((request.nlmsg_flags & NLM_F_REQUEST) == 0) return "no request";
  if (protocol == NETLINK_ROUTE) {
    if (request.nlmsg_type != RTM_GETLINK) return "another route request";
    if (!is_dump) return "link " + text(attribute(sizeof(ifinfomsg), IFLA_IFNAME));
    const auto* info = attribute(sizeof(ifinfomsg), IFLA_LINKINFO);
    std::string kind = "of all kinds";
    if (info != nullptr) {
      kernel::for_each_nested(*info, [&](const nlattr& one) {
        if (::mnl_attr_get_type(&one) == IFLA_INFO_KIND) kind = text(&one);
        return true;
      });
    }
    return "links " + kind;
  }
  const auto& fixed = *static_cast<const genlmsghdr*>(::mnl_nlmsg_get_payload(&request));
  if (request.nlmsg_type == GENL_ID_CTRL) {
    if (fixed.cmd != CTRL_CMD_GETFAMILY || is_dump) return "another control request";
    return "family " + text(attribute(sizeof fixed, CTRL_ATTR_FAMILY_NAME));
  }
  if (fixed.cmd != WG_CMD_GET_DEVICE || !is_dump || fixed.version != WG_GENL_VERSION) {
    return "another generic request";
  }
  const auto* index = attribute(sizeof fixed, WGDEVICE_A_IFINDEX);
  return "device " + std::to_string(index == nullptr ? 0 : ::mnl_attr_get_u32(index)) + " of " +
         std::to_string(request.nlmsg_type);
}

// The script, and the sockets that play it. Outlives them.
class RecordedKernel {
 public:
  RecordedKernel() = default;
  RecordedKernel(const RecordedKernel&) = delete;
  ~RecordedKernel() {
    if (!repeated_) {
      EXPECT_EQ(next_, script_.size()) << "not everything was asked";
    }
  }

  // The next request must be this one, and is answered so.
  RecordedKernel& on(std::string request, Answer answer) {
    script_.push_back({std::move(request), std::move(answer)});
    return *this;
  }
  // The script begins anew at its end.
  void repeat() { repeated_ = true; }

  kernel::OpenNetlink opener() {
    return [this](int protocol) -> Result<std::unique_ptr<Datagram>> {
      ++opened;
      if (open_failure) return *open_failure;
      return std::unique_ptr<Datagram>(std::make_unique<Socket>(*this, protocol));
    };
  }

  // Is this anywhere in the reader's buffer now?
  template <class Bytes>
  bool remembers(const Bytes& wanted) const {
    const auto* first = reinterpret_cast<const std::byte*>(wanted.data());
    return std::search(buffer_.begin(), buffer_.end(), first, first + wanted.size()) !=
           buffer_.end();
  }
  bool was_read() const { return !buffer_.empty(); }

  int opened = 0;
  std::optional<Error> open_failure;

 private:
  struct Exchange {
    std::string request;
    Answer answer;
  };

  class Socket final : public Datagram {
   public:
    Socket(RecordedKernel& kernel, int protocol) : kernel_(kernel), protocol_(protocol) {}

    Result<Done> send(std::span<const std::byte> message) override {
      const auto& request = *reinterpret_cast<const nlmsghdr*>(message.data());
      sequence_ = request.nlmsg_seq;
      sent_ = 0;
      answer_ = kernel_.next(to_words(protocol_, request));
      if (answer_ == nullptr) return Error{Errc::io, 0, "not in the script"};
      return Done{};
    }

    Result<std::size_t> receive(std::span<std::byte> buffer, std::chrono::milliseconds) override {
      if (answer_ == nullptr || sent_ == answer_->datagrams.size()) {
        if (answer_ != nullptr && answer_->failure) return *answer_->failure;
        ADD_FAILURE() << "nothing more is to come";
        return Error{Errc::timed_out, 0, "receive: no answer in time"};
      }
      const auto& datagram = answer_->datagrams[sent_++];
      kernel_.buffer_ = buffer;
      std::memcpy(buffer.data(), datagram.data(), std::min(datagram.size(), buffer.size()));
      auto left = static_cast<int>(datagram.size());
      auto* message = reinterpret_cast<nlmsghdr*>(buffer.data());
      for (; kernel::is_whole(*message, left); message = ::mnl_nlmsg_next(message, &left)) {
        if (message->nlmsg_seq == 0) message->nlmsg_seq = sequence_;
      }
      const bool last = sent_ == answer_->datagrams.size();
      if (last && answer_->failure && answer_->failure->code == Errc::malformed) {
        return *answer_->failure;
      }
      return datagram.size();
    }

   private:
    RecordedKernel& kernel_;
    int protocol_;
    const Answer* answer_ = nullptr;
    std::uint32_t sequence_ = 0;
    std::size_t sent_ = 0;
  };

  const Answer* next(const std::string& request) {
    if (repeated_ && next_ == script_.size()) next_ = 0;
    if (next_ == script_.size()) {
      ADD_FAILURE() << "asked beyond the script: " << request;
      return nullptr;
    }
    EXPECT_EQ(request, script_[next_].request);
    return &script_[next_++].answer;
  }

  std::vector<Exchange> script_;
  std::size_t next_ = 0;
  bool repeated_ = false;
  std::span<std::byte> buffer_;
};

}  // namespace wgvitals::test
