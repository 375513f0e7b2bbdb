// A DNP3 outstation and a DNP3 master of opendnp3 2.2, each as a program: what they say on standard output is read by
// the journeys, and it is the library's own words.  Built by scripts/test-peers.
//
//   dnp3-peer outstation ADDRESS PORT    runs until its standard input ends; tells each command that it carries out
//   dnp3-peer master ADDRESS PORT        does what it reads, one line after the other, and says the end of each

#include <asiodnp3/ConsoleLogger.h>
#include <asiodnp3/DNP3Manager.h>
#include <asiodnp3/DefaultMasterApplication.h>
#include <asiodnp3/IChannelListener.h>
#include <asiodnp3/PrintingCommandCallback.h>
#include <asiodnp3/PrintingSOEHandler.h>
#include <asiodnp3/UpdateBuilder.h>
#include <opendnp3/LogLevels.h>
#include <opendnp3/outstation/SimpleCommandHandler.h>

#include <future>
#include <iostream>
#include <sstream>
#include <string>

using namespace asiodnp3;
using namespace asiopal;
using namespace opendnp3;

namespace {

const uint16_t MASTER = 1, OUTSTATION = 10;
const double LEVEL = 42.5;

// Accepts every command and tells what it was.
class Outputs final : public SimpleCommandHandler {
public:
    Outputs() : SimpleCommandHandler(CommandStatus::SUCCESS) {}

protected:
    void DoOperate(const ControlRelayOutputBlock& command, uint16_t index, OperateType) override {
        std::cout << "operate binary " << index << " " << ControlCodeToString(command.functionCode) << std::endl;
    }
    void DoOperate(const AnalogOutputInt16& command, uint16_t index, OperateType) override {
        std::cout << "operate analog " << index << " " << command.value << std::endl;
    }
};

// Restarts whenever it is told to, and tells it.
class Device final : public DefaultOutstationApplication {
public:
    RestartMode ColdRestartSupport() const override { return RestartMode::SUPPORTED_DELAY_COARSE; }
    uint16_t ColdRestart() override {
        std::cout << "restart" << std::endl;
        return 1;
    }
};

// Lets the main thread wait until a task has ended and the library is done with it.
class Waiting final : public ITaskCallback {
public:
    void OnStart() override {}
    void OnComplete(TaskCompletion result) override { result_ = result; }
    void OnDestroyed() override { ended_.set_value(result_); }  // nothing refers to this object any more
    TaskCompletion wait() { return ended_.get_future().get(); }

private:
    TaskCompletion result_ = TaskCompletion::FAILURE_NO_COMMS;
    std::promise<TaskCompletion> ended_;
};

// Tells what becomes of the connection, and lets the main thread wait until it is open.
class Channel final : public IChannelListener {
public:
    void OnStateChange(ChannelState state) override {
        std::cout << "channel " << ChannelStateToString(state) << std::endl;
        if (state == ChannelState::OPEN && !was_open_) {
            was_open_ = true;
            opened_.set_value();
        }
    }
    void wait() { opened_.get_future().wait(); }

private:
    bool was_open_ = false;
    std::promise<void> opened_;
};

int outstation(DNP3Manager& programs, const std::string& address, uint16_t port) {
    auto channel = programs.AddTCPServer("outstation", levels::NORMAL, ChannelRetry::Default(), address, port,
                                         std::make_shared<Channel>());
    OutstationStackConfig config(DatabaseSizes::AllTypes(10));
    config.link.LocalAddr = OUTSTATION;
    config.link.RemoteAddr = MASTER;
    auto stack =
        channel->AddOutstation("outstation", std::make_shared<Outputs>(), std::make_shared<Device>(), config);
    UpdateBuilder first;
    first.Update(Analog(LEVEL), 0);
    stack->Apply(first.Build());
    stack->Enable();
    std::cout << "ready" << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
    }
    return 0;
}

// `read INDEX`, `analog INDEX VALUE`, `latch INDEX` or `restart`.
void carry_out(IMaster& master, const std::string& line) {
    std::istringstream words(line);
    std::string what;
    uint16_t index = 0;
    int16_t value = 0;
    words >> what >> index >> value;
    Waiting end;
    const auto config = TaskConfig::With(end);
    const auto shown = PrintingCommandCallback::Get();
    if (what == "read") {
        master.ScanRange(GroupVariationID(30, 5), index, index, config);
    } else if (what == "analog") {
        master.DirectOperate(AnalogOutputInt16(value), index, shown, config);
    } else if (what == "latch") {
        master.SelectAndOperate(ControlRelayOutputBlock(ControlCode::LATCH_ON), index, shown, config);
    } else {
        master.Restart(RestartType::COLD, [](const RestartOperationResult&) {}, config);
    }
    const auto result = end.wait();
    std::cout << std::endl << line << ": " << TaskCompletionToString(result) << std::endl;
}

int master(DNP3Manager& programs, const std::string& address, uint16_t port) {
    auto opening = std::make_shared<Channel>();
    auto channel = programs.AddTCPClient("master", levels::NORMAL, ChannelRetry::Default(), address, "0.0.0.0", port,
                                         opening);
    MasterStackConfig config;
    config.master.disableUnsolOnStartup = false;
    config.master.unsolClassMask = ClassField::None();
    config.master.startupIntegrityClassMask = ClassField::None();
    config.link.LocalAddr = MASTER;
    config.link.RemoteAddr = OUTSTATION;
    auto stack =
        channel->AddMaster("master", PrintingSOEHandler::Create(), DefaultMasterApplication::Create(), config);
    stack->Enable();
    opening->wait();
    for (std::string line; std::getline(std::cin, line);) {
        carry_out(*stack, line);
    }
    return 0;
}

}  // namespace

int main(int count, char* words[]) {
    if (count != 4) {
        std::cerr << "usage: dnp3-peer outstation|master ADDRESS PORT" << std::endl;
        return 2;
    }
    DNP3Manager programs(1, ConsoleLogger::Create());
    const std::string role = words[1];
    const auto port = static_cast<uint16_t>(std::stoi(words[3]));
    return role == "outstation" ? outstation(programs, words[2], port) : master(programs, words[2], port);
}
